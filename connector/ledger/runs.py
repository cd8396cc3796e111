"""Store runs and their outcomes, for reports and history."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from heapq import merge
from typing import NamedTuple

from connector.decide.case import Policy
from connector.ledger.codec import pack_time, packed_print, save_row, unpack_print, unpack_time
from connector.ledger.conflict_detail import register_sql_function
from connector.ledger.people import UNUSABLE_REASONS
from connector.ledger.plan import COUNTED_AS, RANK, save_held
from connector.ledger.worklist import JOIN_RULES, fill_rules
from connector.model import Action, Conflict, ExceededLimit, Outcome, OutcomeFacts, Presence, Reason, Removed
from connector.model.reasons import LASTING_REASONS

_SELECT = "SELECT *, COALESCE((SELECT plan_run FROM approvals a WHERE a.run = runs.id), 0) AS approves FROM runs"
_TOTALS = ("people", "created", "replaced", "removed", "unchanged", "skipped", "failed")


class RunRow(NamedTuple):
    """Represent one stored run; `finished` is empty and `exit_code` None while it runs, or if it was killed.

    `approves` is the run whose plan it carried out; 0 for any other run. `exceeded` are the safety limits that stopped
    it, and `advice` is the end of `message` that says what to do about them. `sent_elsewhere` counts the people whose
    changed photo the cloud showed before this server had sent it.
    """

    id: int
    kind: str
    started: str
    finished: str
    dry_run: bool
    mode: str
    chosen: bool
    exit_code: int | None
    message: str
    totals: dict[str, int]
    requests: dict[str, int]
    pace: dict[str, float]
    notices: list[str]
    approves: int
    advice: str
    exceeded: tuple[ExceededLimit, ...]
    sent_elsewhere: int


def begin_run(db: sqlite3.Connection, *, kind: str, now: datetime, dry_run: bool, chosen: bool) -> int:
    """Begin a run and return its number; `chosen` says that it is about named people only."""
    query = "INSERT INTO runs (kind, started, dry_run, chosen) VALUES (?, ?, ?, ?)"
    run = db.execute(query, (kind, pack_time(now), int(dry_run), int(chosen))).lastrowid
    if run is None:
        raise sqlite3.DatabaseError("a run has no number")
    return run


def finish_run(db: sqlite3.Connection, run: int, *, now: datetime, values: Mapping[str, object]) -> None:
    """Store how a run ended: columns of `runs`; mappings and lists are kept as JSON."""
    columns = {
        name: json.dumps(value) if isinstance(value, (dict, list, tuple)) else value for name, value in values.items()
    }
    columns["finished"] = pack_time(now)
    assignments = ", ".join(f"{name} = :{name}" for name in columns)
    db.execute(f"UPDATE runs SET {assignments} WHERE id = :id", {**columns, "id": run})


def find_run(db: sqlite3.Connection, run: int | None = None) -> RunRow | None:
    """Return a run; the newest when none is named, which a proof on one account (`prove`) never is."""
    if run is None:
        row = db.execute(f"{_SELECT} WHERE kind <> 'prove' ORDER BY id DESC LIMIT 1").fetchone()
    else:
        row = db.execute(f"{_SELECT} WHERE id = ?", (run,)).fetchone()
    return None if row is None else _run(row)


def all_runs(db: sqlite3.Connection) -> list[RunRow]:
    """Return every run that is kept, newest first."""
    return [_run(row) for row in db.execute(f"{_SELECT} ORDER BY id DESC")]


def last_run_that_wrote(db: sqlite3.Connection) -> RunRow | None:
    """Return the newest run that wrote to the cloud; None where none did."""
    row = db.execute(
        f"{_SELECT} WHERE id = (SELECT MAX(w.run) FROM writes w JOIN runs r ON r.id = w.run WHERE r.kind <> 'prove')"
    ).fetchone()
    return None if row is None else _run(row)


def is_noticed(db: sqlite3.Connection, text: str, *, before: int) -> bool:
    """Return True if an earlier run that was no dry run had a notice with this text."""
    query = "SELECT 1 FROM runs WHERE id < ? AND NOT dry_run AND INSTR(notices, ?) LIMIT 1"
    return db.execute(query, (before, json.dumps(text)[1:-1])).fetchone() is not None


def last_success(db: sqlite3.Connection, *, before: int) -> RunRow | None:
    """Return the newest earlier sync of everybody that did everything that was due; None if there is none."""
    query = (
        f"{_SELECT} WHERE id < ? AND kind = 'sync' AND NOT dry_run AND NOT chosen AND NOT approves AND exit_code = 0"
    )
    row = db.execute(f"{query} ORDER BY id DESC LIMIT 1", (before,)).fetchone()
    return None if row is None else _run(row)


def _run(row: sqlite3.Row) -> RunRow:
    return RunRow(
        id=row["id"],
        kind=row["kind"],
        started=row["started"],
        finished=row["finished"],
        dry_run=bool(row["dry_run"]),
        mode=row["mode"],
        chosen=bool(row["chosen"]),
        exit_code=row["exit_code"],
        message=row["message"],
        totals=json.loads(row["totals"]),
        requests=json.loads(row["requests"]),
        pace=json.loads(row["pace"]),
        notices=json.loads(row["notices"]),
        approves=row["approves"],
        advice=row["advice"],
        exceeded=tuple(ExceededLimit(**limit) for limit in json.loads(row["exceeded"])),
        sent_elsewhere=row["sent_elsewhere"],
    )


def save_outcome(db: sqlite3.Connection, run: int, outcome: Outcome, *, conflict: bool = False) -> None:
    """Keep what happened to one person in this run; a later word in the same run replaces an earlier one."""
    values = {
        "run": run,
        "target": outcome.target,
        "person_id": outcome.person_id,
        "name": outcome.person,
        "upn": outcome.upn,
        "account_id": outcome.account_id or "",
        "action": outcome.action,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "source_sha256": outcome.source_sha256 or "",
        "conflict": conflict,
    }
    save_row(db, "outcomes", values, key="run, target, person_id")
    if outcome.planned is not None:
        save_held(db, run, outcome)


def drop_left_outcomes(db: sqlite3.Connection, run: int) -> None:
    """Forget that somebody left in this run who was met again after it, e.g. in another domain."""
    db.execute(
        "DELETE FROM outcomes WHERE run = ? AND person_id IN (SELECT id FROM people WHERE state = 'in-scope')", (run,)
    )


def save_standing(
    db: sqlite3.Connection, run: int, target: str, *, report_conflicts: bool, removes: bool = False
) -> None:
    """Open and close what stands: people who are skipped for what they are, and conflicts to be listed each night."""
    conflict = Conflict.REPORT if report_conflicts else Conflict.SOURCE
    fill_rules(db, Policy(conflict=conflict, removed=Removed.REMOVE if removes else Removed.KEEP))
    register_sql_function(db)
    db.execute("DROP TABLE IF EXISTS temp.stands")
    db.execute(_STANDS, {"target": target, "run": run})
    db.execute("CREATE INDEX temp.stands_person ON stands (person_id)")
    same = f"s.person_id = o.person_id AND ({_words('s')}) = ({_words('o')})"
    db.execute(
        "UPDATE standing_outcomes AS o SET end_run = ? WHERE end_run IS NULL AND target = ? "
        f"AND NOT EXISTS (SELECT 1 FROM stands s WHERE {same})",
        (run, target),
    )
    db.execute(
        f"INSERT OR REPLACE INTO standing_outcomes (person_id, target, first_run, end_run, {', '.join(_WORDS)}) "
        f"SELECT s.person_id, ?, ?, NULL, {_words('s')} "
        "FROM stands s WHERE NOT EXISTS (SELECT 1 FROM standing_outcomes o WHERE o.end_run IS NULL AND o.target = ? "
        f"AND {same})",
        (target, run, target),
    )


_WORDS = ("name", "upn", "account_id", "action", "reason", "detail", "source_sha256", "conflict")


def _words(table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in _WORDS)


# An opt-out does not wait for a usable picture.
_IS_LEFT_OUT = f"""(p.source_reason NOT IN ('', 'no-photo')
    AND NOT (q.rule IS 1 AND p.source_reason IN {UNUSABLE_REASONS}))"""
_IS_SKIPPED = f"""(p.context IN (SELECT name FROM unread) OR {_IS_LEFT_OUT}
    OR p.match_problem <> '' OR r.account_id IS NOT NULL)"""
_STANDS = f"""
CREATE TEMP TABLE stands AS
SELECT p.id AS person_id, p.name, p.upn, p.account_id, p.source_sha256,
  CASE WHEN {_IS_SKIPPED} THEN 'skip' ELSE q.action END AS action,
  CASE WHEN p.context IN (SELECT name FROM unread) THEN 'source-unread'
       WHEN {_IS_LEFT_OUT} THEN p.source_reason
       WHEN p.match_problem <> '' THEN p.match_problem
       WHEN r.account_id IS NOT NULL THEN r.reason
       ELSE q.reason END AS reason,
  COALESCE(CASE WHEN {_IS_LEFT_OUT} THEN
       (SELECT k.detail FROM photos f JOIN pictures k ON k.source_sha256 = f.source_sha256
        WHERE f.person_id = p.id AND f.gone_run IS NULL AND k.refused = p.source_reason LIMIT 1)
       WHEN r.account_id IS NOT NULL THEN r.detail
       WHEN m.presence IN ('theirs', 'cleared') AND NOT m.restored AND p.source_sha256 <> ''
       AND m.conflict_policy <> '{Reason.OPTED_OUT}' THEN
       both_pictures({packed_print("k.whole_print")}, p.source_sha256, m.presence, {packed_print("m.read_print")},
                     m.read_sha256, m.tag, m.checked_at)
       END, '') AS detail,
  CASE WHEN {_IS_SKIPPED} THEN 0 ELSE q.conflict END AS conflict
FROM people p
LEFT JOIN pictures k ON k.source_sha256 = p.source_sha256
LEFT JOIN photo_state m ON m.target = :target AND m.account_id = p.account_id AND p.account_id <> ''
LEFT JOIN refusals r ON r.target = :target AND r.account_id = p.account_id AND r.source_sha256 = p.source_sha256
{JOIN_RULES}
WHERE p.state = 'in-scope' AND p.context <> 'guests'
  AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.run = :run AND o.target = :target AND o.person_id = p.id)
  AND NOT EXISTS (SELECT 1 FROM excluded_accounts x WHERE x.target = :target AND x.account_id = p.account_id)
  AND ({_IS_SKIPPED}
       OR (q.is_told AND (p.source_sha256 <> '' OR p.source_reason <> '')))
"""


def count_totals(db: sqlite3.Connection, run: int, targets: Sequence[str], *, chosen: bool) -> dict[str, int]:
    """Count the people of a run by what happened to them; with several targets by what matters most.

    People whose row says nothing this night are unchanged; for named people only the named ones count.
    """
    marks = ", ".join("?" * len(targets))
    told = f"""
        SELECT person_id, action FROM outcomes WHERE run = ? AND target IN ({marks})
        UNION ALL
        SELECT s.person_id, s.action FROM standing_outcomes s
        JOIN people p ON p.id = s.person_id AND p.state = 'in-scope'
        WHERE s.first_run <= ? AND (s.end_run IS NULL OR s.end_run > ?) AND s.target IN ({marks}) AND NOT ?
          AND NOT EXISTS (
            SELECT 1 FROM outcomes o WHERE o.run = ? AND o.person_id = s.person_id AND o.target = s.target)"""
    rank = f"instr('{RANK}', action)"
    foremost = f"SELECT action, MIN({rank}) FROM ({told}) GROUP BY person_id"
    query = f"SELECT action, COUNT(*) AS n FROM ({foremost}) GROUP BY action"
    totals = dict.fromkeys(_TOTALS, 0)
    for row in db.execute(query, (run, *targets, run, run, *targets, chosen, run)):
        totals[COUNTED_AS[Action(row["action"])]] += row["n"]
    totals["people"] = _count_people(db, run, chosen=chosen)
    told_of = sum(totals[name] for name in _TOTALS[1:])
    totals["unchanged"] += totals["people"] - told_of
    return totals


def _count_people(db: sqlite3.Connection, run: int, *, chosen: bool) -> int:
    """Count who was in scope, with those who left it in this very run; or the people that were named."""
    named = "SELECT person_id AS id FROM outcomes WHERE run = ?"
    everybody = "" if chosen else "UNION SELECT id FROM people WHERE state = 'in-scope'"
    count: int = db.execute(f"SELECT COUNT(DISTINCT id) FROM ({named} {everybody})", (run,)).fetchone()[0]
    return count


def outcomes_of(db: sqlite3.Connection, run: RunRow) -> Iterator[Outcome]:
    """Yield a run's outcomes by name: what it did and, unless it was about named people, what stood while it ran."""
    query = """
        SELECT o.*, h.action AS planned, h.reason AS planned_reason, h.over_foreign
        FROM outcomes o LEFT JOIN plans h ON h.run = o.run AND h.target = o.target AND h.person_id = o.person_id
        WHERE o.run = ? ORDER BY name_key(o.name), o.person_id, o.target"""
    db.create_function("name_key", 1, name_key, deterministic=True)
    rows = db.execute(query, (run.id,))
    own = (_as_planned(_outcome(row), row) if row["planned"] else _outcome(row) for row in rows)
    if run.chosen or run.dry_run:
        yield from own
        return
    yield from merge(own, _standing_of(db, run.id), key=lambda it: (name_key(it.person), it.person_id, it.target))


def _standing_of(db: sqlite3.Connection, run: int) -> Iterator[Outcome]:
    """Yield what stood while the run ran, by name; conflicts and restored photos with the time they began."""
    query = """
        SELECT s.*, CASE WHEN s.first_run < :run THEN r.started END AS since
        FROM standing_outcomes s LEFT JOIN runs r ON r.id = s.first_run
        WHERE s.first_run <= :run AND (s.end_run IS NULL OR s.end_run > :run)
          AND (s.reason <> :once OR s.first_run = :run)
          AND NOT EXISTS (SELECT 1 FROM outcomes o
                          WHERE o.run = :run AND o.person_id = s.person_id AND o.target = s.target)
        ORDER BY name_key(s.name), s.person_id, s.target"""
    for row in db.execute(query, {"run": run, "once": Reason.CLOUD_MANAGED}):
        is_lasting = row["reason"] in LASTING_REASONS and row["since"]
        yield replace(_outcome(row), since=unpack_time(row["since"])) if is_lasting else _outcome(row)


def name_key(name: str) -> str:
    """Return what names are sorted by: without case and accents, and without the kind of a DN's first part."""
    name = name.partition("=")[2] or name
    if name.isascii():
        return name.lower()
    letters = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()


def _as_planned(outcome: Outcome, row: sqlite3.Row) -> Outcome:
    outcome = replace(outcome, over_foreign=bool(row["over_foreign"]))
    if outcome.reason is not Reason.SAFETY_LIMIT:
        return outcome
    return replace(outcome, planned=Action(row["planned"]), planned_reason=Reason(row["planned_reason"]))


def _outcome(row: sqlite3.Row) -> Outcome:
    return Outcome(
        person=row["name"],
        upn=row["upn"],
        account_id=row["account_id"] or None,
        action=Action(row["action"]),
        reason=Reason(row["reason"]),
        detail=row["detail"],
        source_sha256=row["source_sha256"] or None,
        person_id=row["person_id"],
        target=row["target"],
        conflict=bool(row["conflict"]),
    )


def count_conflicts(db: sqlite3.Connection, run: int) -> int:
    """Count the people whose cloud photo was changed by others, decided in this run or standing and listed.

    A run for named people has written what stands for them as outcomes, and counts nobody else.
    """
    query = """
        SELECT COUNT(*) FROM (
          SELECT person_id FROM outcomes WHERE run = :run AND conflict
          UNION SELECT person_id FROM standing_outcomes WHERE conflict AND first_run <= :run
                AND (end_run IS NULL OR end_run > :run)
                AND NOT (SELECT chosen FROM runs WHERE id = :run))"""
    count: int = db.execute(query, {"run": run}).fetchone()[0]
    return count


def count_reason(db: sqlite3.Connection, run: int, reason: Reason) -> int:
    """Count the people of a run with this reason."""
    query = "SELECT COUNT(DISTINCT person_id) FROM outcomes WHERE run = ? AND reason = ?"
    count: int = db.execute(query, (run, reason)).fetchone()[0]
    return count


def copy_standing_to_outcomes(db: sqlite3.Connection, run: int, *, person_ids: Sequence[str] = ()) -> None:
    """Write what stands, for everybody or for these people, as outcomes of a run that has no others.

    That is a dry run, whose ledger is dropped, and a run for named people, which tells of nobody else.
    """
    chosen = f"AND p.id IN ({', '.join('?' * len(person_ids))})" if person_ids else ""
    db.execute(
        f"""INSERT OR IGNORE INTO outcomes (run, target, person_id, {", ".join(_WORDS)})
        SELECT ?, s.target, s.person_id, s.name, s.upn, s.account_id, s.action, s.reason, s.detail, s.source_sha256,
               s.conflict FROM standing_outcomes s JOIN people p ON p.id = s.person_id AND p.state = 'in-scope'
        WHERE s.end_run IS NULL {chosen}""",
        (run, *person_ids),
    )


def copy_run(source: sqlite3.Connection, db: sqlite3.Connection, run: int) -> None:
    """Copy a dry run, its outcomes and its plan from the copy it worked in to the real ledger: nothing else is kept."""
    for table in ("runs", "outcomes", "plans", "run_plans"):
        column = "id" if table == "runs" else "run"
        rows = source.execute(f"SELECT * FROM {table} WHERE {column} = ?", (run,))
        names = [column[0] for column in rows.description]
        marks = ", ".join("?" * len(names))
        insert = f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({marks})"
        db.executemany(insert, (tuple(row) for row in rows))


def facts_of(db: sqlite3.Connection, outcome: Outcome) -> OutcomeFacts:
    """Return what is known today about an outcome's picture, its match, and whether each side has a photo."""
    query = f"""
        SELECT p.match_rule, p.source_sha256, p.source_reason, {packed_print("k.whole_print")} AS whole,
               m.presence AS presence,
               (SELECT group_concat(attribute, ' ') FROM photos f WHERE f.person_id = p.id AND f.gone_run IS NULL
                AND f.source_sha256 = :sha256) AS attributes
        FROM people p LEFT JOIN pictures k ON k.source_sha256 = :sha256
        LEFT JOIN photo_state m ON m.target = :target AND m.account_id = :account
        WHERE p.id = :person"""
    values = {"sha256": outcome.source_sha256 or "", "target": outcome.target, "account": outcome.account_id or ""}
    row = db.execute(query, {**values, "person": outcome.person_id}).fetchone()
    if row is None:
        return OutcomeFacts()
    whole = unpack_print(row["whole"])
    reason = row["source_reason"]
    has_source = True if row["source_sha256"] else None if reason == "" else reason != Reason.NO_PHOTO
    return OutcomeFacts(
        source_pixels=f"{whole.width}x{whole.height}" if whole else "",
        source_attribute=row["attributes"] or "",
        matched_by=row["match_rule"],
        source_has_photo=has_source,
        cloud_has_photo=None if row["presence"] is None else row["presence"] != Presence.CLEARED,
    )
