"""Is a person forgotten to the last byte? In ledger, backups, kept reports and logs; and what is old goes by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import pytest

from connector.ledger.store import LEDGER_NAME, hold_lock
from tests.nights import Told
from tests.office import Colleague, Office, face


def forget(office: Office, person: str) -> Told:
    """Type `forget`."""
    return office.nights.type("forget", "--env-file", str(office.nights.env_file()), person)


def found(office: Office, words: Iterable[str]) -> list[str]:
    """Name every file of the state folder that holds one of these words, in its name or anywhere in its bytes."""
    hits = []
    for path in office.nights.state.rglob("*"):
        content = path.read_bytes().lower() if path.is_file() else b""
        hits += [f"{path.name}: {word}" for word in words if word.lower().encode() in content or word in path.name]
    return hits


def rows(office: Office, query: str) -> list[tuple[object, ...]]:
    """Ask the ledger."""
    db = sqlite3.connect(office.nights.state / LEDGER_NAME)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def words_of(one: Colleague) -> tuple[str, ...]:
    """Return what names somebody."""
    return one.upn, one.entry.dn, one.entry.id, one.account_id, one.name


@pytest.fixture
def zenobia(office: Office) -> Colleague:
    """Have somebody whom every corner of the state folder knows, and a colleague."""
    one = office.hire("zenobia")
    office.hire("bob")
    for name in ("zenobia", "bob"):
        account_id = office.cloud.tenant.id_of(f"{name}@contoso.test")
        office.cloud.tenant.set_photo(account_id, face(f"own {name}"))
    office.sync("--verbose")
    office.sync("--full", "--verbose", days=1)
    places = {hit.partition(":")[0] for hit in found(office, words_of(one))}
    assert any(place.startswith(LEDGER_NAME) for place in places)
    assert {"run-000001.html", "photo-connector.log"} <= places
    return one


def test_no_byte_of_the_state_folder_names_a_forgotten_person(office: Office, zenobia: Colleague) -> None:
    told = forget(office, "zenobia")

    assert told.code == 0, told.err
    assert found(office, words_of(zenobia)) == []


def test_what_was_replaced_long_ago_is_gone_too_even_while_somebody_looks(office: Office, zenobia: Colleague) -> None:
    for number in range(40):
        office.hire(f"extra{number}", photo=None, mail=f"extra{number}@contoso.test")
    office.house.tree.change(zenobia.entry.guid, mail="first-address@contoso.test")
    office.sync(days=1)
    office.house.tree.change(zenobia.entry.guid, mail="z@contoso.test")
    office.sync(days=1)
    looking = sqlite3.connect(office.nights.state / LEDGER_NAME)
    looking.execute("SELECT COUNT(*) FROM people").fetchall()

    told = forget(office, "zenobia")
    hits = found(office, [*words_of(zenobia), "first-address@contoso.test"])
    looking.close()

    assert told.code == 0
    assert hits == []


def test_the_others_are_still_known(office: Office, zenobia: Colleague) -> None:
    backups = office.nights.state / "backups"
    assert len(list(backups.glob("*/*.jpg"))) == 2

    forget(office, "zenobia")

    assert len(list(backups.glob("*/*.jpg"))) == 1
    assert rows(office, "SELECT upn FROM people") == [("bob@contoso.test",)]
    assert "bob@contoso.test" in (office.nights.state / "reports" / "run-000001.html").read_text("utf-8")
    told = office.nights.type("restore", "--env-file", str(office.nights.env_file()), "--run", "1", days=1)
    assert told.code == 0, told.err
    bob = office.cloud.tenant.id_of("bob@contoso.test")
    assert [write.account_id for write in office.cloud.tenant.writes()][-1] == bob


def test_what_the_pictures_showed_is_forgotten_too(office: Office, zenobia: Colleague) -> None:
    shas = rows(office, "SELECT source_sha256 FROM people WHERE upn = 'zenobia@contoso.test'")
    assert len(rows(office, "SELECT * FROM pictures")) == 2

    forget(office, "zenobia")

    assert len(rows(office, "SELECT * FROM pictures")) == 1
    assert found(office, [str(shas[0][0])]) == []


def test_a_backup_that_two_people_share_is_kept_for_the_other(office: Office) -> None:
    office.cloud.set(reencode="none")
    for name in ("ada", "bob"):
        office.cloud.tenant.set_photo(office.hire(name).account_id, face("the same"))
    office.sync()
    assert len(list((office.nights.state / "backups").glob("*/*.jpg"))) == 1

    forget(office, "ada")

    assert len(list((office.nights.state / "backups").glob("*/*.jpg"))) == 1
    assert forget(office, "bob").code == 0
    assert list((office.nights.state / "backups").glob("*/*.jpg")) == []


def test_it_says_what_it_cannot_reach(office: Office, zenobia: Colleague) -> None:
    damaged = office.nights.state / "ledger-damaged-20260101T000000.sqlite3"
    damaged.write_bytes(b"once a ledger")

    told = forget(office, "zenobia")

    for word in ("photo in the cloud", "mailed", "elsewhere", "next night", str(damaged)):
        assert word in told.out


def test_the_next_night_meets_whoever_is_still_there_as_somebody_new(office: Office, zenobia: Colleague) -> None:
    forget(office, "zenobia")
    before = len(office.cloud.tenant.writes())

    told = office.sync(days=1)

    assert told.code == 0
    assert told.of(zenobia.upn) == ("keep", "adopted")
    assert len(office.cloud.tenant.writes()) == before


def test_whoever_left_stays_forgotten(office: Office, zenobia: Colleague) -> None:
    office.house.tree.delete(zenobia.entry.guid)
    office.cloud.tenant.remove_account(zenobia.account_id)
    office.sync(days=1)
    assert forget(office, "zenobia@contoso.test").code == 0

    for _ in range(2):
        assert office.sync(days=1).code == 0

    assert found(office, [zenobia.upn, zenobia.account_id]) == []


def test_what_others_outcomes_say_of_the_person_goes_too(office: Office) -> None:
    office.hire("ada", mail="ada-alone@contoso.test")
    office.sync()
    office.sync("--only", "bob and ada@contoso.test", days=1)
    assert rows(office, "SELECT COUNT(*) FROM runs WHERE message LIKE '%ada@contoso.test%'") == [(1,)]

    forget(office, "ada")

    assert found(office, ["ada@contoso.test", "ada-alone@contoso.test"]) == []


def test_it_waits_for_no_other_run(office: Office, zenobia: Colleague) -> None:
    with hold_lock(office.nights.state):
        told = forget(office, "zenobia")

    assert told.code == 6
    assert found(office, [zenobia.upn]) != []


def test_a_name_that_fits_nobody_forgets_nobody(office: Office, zenobia: Colleague) -> None:
    told = forget(office, "zen")

    assert told.code == 2
    assert rows(office, "SELECT COUNT(*) FROM people") == [(2,)]


def test_outcomes_are_forgotten_after_ledger_days(office: Office) -> None:
    office.settings["LEDGER_DAYS"] = "30"
    office.hire("ada")
    office.sync()
    office.sync(days=29)
    assert rows(office, "SELECT run FROM outcomes") == [(1,)]

    office.sync(days=2)

    assert rows(office, "SELECT run FROM outcomes") == []
    assert rows(office, "SELECT COUNT(*) FROM writes") == [(0,)]
    assert rows(office, "SELECT COUNT(*) FROM memory") == [(1,)], "who is still there is remembered"
    assert office.sync(days=1).totals["unchanged"] == 1


def test_who_is_not_seen_is_forgotten_after_ledger_days(office: Office) -> None:
    office.settings["LEDGER_DAYS"] = "30"
    leaver = office.hire("leaver")
    office.hire("stayer")
    office.sync()
    office.house.tree.delete(leaver.entry.guid)
    office.cloud.tenant.remove_account(leaver.account_id)
    office.sync(days=1)
    office.sync(days=28)
    assert ("leaver@contoso.test",) in rows(office, "SELECT upn FROM people")

    office.sync(days=5)

    assert rows(office, "SELECT upn FROM people") == [("stayer@contoso.test",)]
    assert rows(office, "SELECT COUNT(*) FROM memory") == [(1,)]
