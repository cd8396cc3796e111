"""The documentation as a site, the pages that are made from the code, and the container files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector.config.settings import NAMES, SECRET_FILE_SETTINGS
from tests.generated_pages import names, rendered

ROOT = Path(__file__).parent.parent
CRONJOB = ROOT / "deploy" / "kubernetes" / "cronjob.yaml"
CONTAINER = (ROOT / "Containerfile").read_text("utf-8")
# What the workload identity webhook sets in a pod:
# https://azure.github.io/azure-workload-identity/docs/installation/mutating-admission-webhook.html
WEBHOOK = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST")


@pytest.mark.parametrize("name", names())
def test_every_page_that_is_made_from_the_code_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_bytes().decode() == rendered(name), "run scripts/docs --pages"


@pytest.mark.skipif(sys.platform == "win32", reason="the site is built on Linux")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages == {path.stem for path in (tmp_path / "site").glob("*.html")} - {"404"}
    start = (tmp_path / "site" / "index.html").read_text("utf-8")
    # a reader's browser asks no other site for anything
    assert re.findall(r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', start) == []
    assert 'data-md-component="source"' not in start, "the number of stars would be asked of GitHub"


def test_every_kind_of_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {name for name in pages if f"({name}" not in index} == set()
    assert all(f"| {kind} |" in index for kind in ("tutorial", "how-to", "reference", "explanation"))


# ----------------------------------------------------------------------------------------------------------- containers


def manifests() -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in yaml.safe_load_all(CRONJOB.read_text("utf-8"))}


def test_the_linter_takes_the_kubernetes_example() -> None:
    rules = "{extends: default, rules: {line-length: {max: 120}, document-start: disable}}"
    command = [sys.executable, "-m", "yamllint", "--strict", "-d", rules, str(CRONJOB)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_example_sets_what_are_settings_and_mounts_what_they_name() -> None:
    found = manifests()
    assert set(found) == {"ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "CronJob"}
    pod = found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    variables = {**found["ConfigMap"]["data"], **{one["name"]: one["value"] for one in container["env"]}}
    assert set(variables) - {*NAMES, *SECRET_FILE_SETTINGS} == set()
    assert set(WEBHOOK) <= set(NAMES)
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert set(mounts) == {one["name"] for one in pod["spec"]["volumes"]}
    paths = [Path(value) for name, value in variables.items() if value.startswith("/")]
    assert [path for path in paths if not any(path.is_relative_to(mount) for mount in mounts.values())] == []
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert pod["spec"]["serviceAccountName"] == found["ServiceAccount"]["metadata"]["name"]
    assert container["args"] == ["sync"]


def test_the_example_runs_without_rights_and_one_at_a_time() -> None:
    spec = manifests()["CronJob"]["spec"]
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (spec["concurrencyPolicy"], spec["jobTemplate"]["spec"]["backoffLimit"]) == ("Forbid", 0)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert f"USER {pod['securityContext']['runAsUser']}" in CONTAINER


def test_the_image_copies_what_exists_and_starts_the_program() -> None:
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+)$", CONTAINER, re.MULTILINE) for word in line.split()[:-1]
    ]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    allowed = set(re.findall(r"^!(.+)$", (ROOT / ".containerignore").read_text("utf-8"), re.MULTILINE))
    assert set(copied) == allowed
    instructions = re.findall(r"^([A-Z]+) ", CONTAINER, re.MULTILINE)
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "VOLUME", "USER", "ENTRYPOINT", "CMD"}
    assert set(instructions) <= known
    assert 'ENTRYPOINT ["photo-connector"]' in CONTAINER
    assert instructions.index("USER") < instructions.index("ENTRYPOINT")
