"""Look for relative files of the env file beside that file; a run may be started in any folder.

Earlier versions looked in the current folder. A file that is only there is still taken, with a warning.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from connector.config.env_file import variable_in
from connector.config.settings import PATHS, SECRET_FILE_SETTINGS

# A relative STATE_DIR is refused: what a run remembers must not depend on where a file lies.
FILES = tuple(name for name in (*PATHS, *SECRET_FILE_SETTINGS) if name != "STATE_DIR")


def beside_env_file(values: Mapping[str, str], env_file: Path | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the values of the env file with whole paths, and a warning for each file of the current folder."""
    found, warnings = dict(values), []
    if env_file is None:
        return found, ()
    folder = Path(os.path.abspath(env_file)).parent  # noqa: PTH100 - resolve() would follow a link to another folder
    for name in FILES:
        text = found.get(name, "").strip()
        if not text or _is_fixed(text) or folder == Path.cwd():
            continue
        if _is_there(folder / text) or not _is_there(Path.cwd() / text):
            found[name] = str(folder / text)
        else:
            found[name] = str(Path.cwd() / text)
            place = f"{text} is in the current folder ({Path.cwd()}) and not beside {env_file}"
            warnings.append(f"{name}: {place}; move it there, or write the whole path")
    return found, tuple(warnings)


def _is_fixed(text: str) -> bool:
    return Path(text).is_absolute() or text.startswith("~") or bool(variable_in(text))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
