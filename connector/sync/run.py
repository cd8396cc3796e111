"""What is a night, top to bottom? Accounts, people, match, plan, brakes, writes; then it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from connector.cloud.client import Cloud, open_cloud
from connector.cloud.refusal_limit import EverybodyRefused
from connector.config import Settings
from connector.errors import ExitCode, StopRun
from connector.ledger import worklist as work
from connector.ledger.matching import unmatched_accounts
from connector.ledger.memory import count_intents
from connector.ledger.plan import begin_plan, count_plan, steps
from connector.ledger.restore import begin_undo
from connector.ledger.retention import forget_old
from connector.ledger.runs import (
    begin_run,
    copy_run,
    copy_standing_to_outcomes,
    count_conflicts,
    count_reason,
    count_totals,
    find_run,
    finish_run,
    save_standing,
)
from connector.ledger.state import State, dry_run_copy
from connector.ledger.store import transaction
from connector.model import Action, Clock, Progress, Reason, RequestCounters, RunReport, utc_now
from connector.report.from_ledger import load_report
from connector.sources import Source
from connector.sources.open import open_source
from connector.sync.apply import Applier, PlannedSteps
from connector.sync.brakes import check_plan
from connector.sync.conflict_photos import load_conflict_source_photos
from connector.sync.context import Options, RunContext
from connector.sync.guests import list_guests, read_guest_photo
from connector.sync.outcomes import record_error, record_outcome
from connector.sync.plan import Planner
from connector.sync.read import drop_departed, match, read_people, tell_none_synced
from connector.sync.read_accounts import drop_gone_accounts, find_lost_accounts, read_accounts
from connector.sync.read_chosen import read_chosen
from connector.sync.restore import postpone_remaining, undo
from connector.sync.targets import open_targets
from connector.targets import Target

log = logging.getLogger("connector.sync")

PRECEDENCE = (
    *(ExitCode.INTERRUPTED, ExitCode.FAULT, ExitCode.SETTINGS, ExitCode.BRAKE),
    *(ExitCode.UNREACHABLE, ExitCode.SOME_FAILED, ExitCode.LIMIT),
)

NO_BACKUPS = "BACKUP_DAYS is 0: no replaced or removed photo is kept, so nothing of this run can be undone."
COMPETING_MORE_THAN = 20
COMPETING = (
    "{count} photos keep being written by another program, most likely Entra Connect from thumbnailPhoto: take "
    "thumbnailPhoto out of its attribute flow, or set the tenant's photo source to cloud."
)


RESEND_RESTS = (
    "Not everybody was sent to again, and no later run does it by itself: type `photo-connector sync --resend` once "
    "more; it begins with those who were sent to longest ago."
)


@dataclass(frozen=True, slots=True)
class Backends:
    """Say how both sides of a night are opened; whoever brings others needs no network."""

    cloud: Callable[[Settings, RequestCounters], Cloud] = open_cloud
    source: Callable[[Settings, RequestCounters], Source] = open_source


USUAL = Backends()


@contextmanager
def run_night(
    state: State,
    settings: Settings,
    options: Options,
    *,
    progress: Progress,
    clock: Clock = utc_now,
    doors: Backends = USUAL,
) -> Iterator[RunReport]:
    """Do a night and give its report, which can be told while the block lasts. Faults of our own are raised."""
    with transaction(state.db):
        run = begin_run(state.db, kind=options.kind, now=clock(), dry_run=options.dry_run, chosen=options.is_chosen)
    with dry_run_copy(state) if options.dry_run else nullcontext(state.db) as db:
        tonight = RunContext(
            settings=settings,
            options=options,
            db=db,
            folder=state.folder,
            run=run,
            started=clock(),
            clock=clock,
            traffic=RequestCounters(),
            progress=progress,
            spool=state.spool,
            backups=state.backups,
        )
        tonight.add_notice(state.notice)
        if settings.backup_days == 0:
            tonight.add_notice(NO_BACKUPS)
        _run(tonight, doors)
        if options.dry_run:
            with transaction(state.db):
                copy_run(db, state.db, run)
        row = find_run(db, run)
        if row is None:
            raise LookupError(f"run {run} is not in the ledger")
        yield load_report(db, row, backups=state.backups, spool=state.spool, conflicts=tonight.conflicts)


def _run(night: RunContext, doors: Backends) -> None:
    """Do the night and finish it, however it ends."""
    message, pace = "", {}
    work.begin_work(night.db)
    begin_plan(night.db)
    begin_undo(night.db)
    try:
        with doors.cloud(night.settings, night.traffic) as cloud:
            night.cancel_waiting = cloud.transport.gate.close
            try:
                _do(night, cloud, doors)
            finally:
                pace = cloud.transport.pace()
    except StopRun as stop:
        night.codes.add(stop.exit_code)
        night.refused = stop.refused if isinstance(stop, EverybodyRefused) else {}
        message = str(stop)
    except KeyboardInterrupt:
        night.codes.add(ExitCode.INTERRUPTED)
        goes_on = "" if night.options.resend else ", the next run goes on"
        message = f"The run was interrupted; what was done is remembered{goes_on}."
    except BaseException as fault:
        night.codes.add(ExitCode.FAULT)
        _finish(night, f"A fault of the program itself: {type(fault).__name__}.", pace)
        raise
    _finish(night, message, pace)


def _do(night: RunContext, cloud: Cloud, doors: Backends) -> None:
    """Take an earlier run back, or sync."""
    if night.options.undo is not None:
        undo(night, cloud)
        return
    source = doors.source(night.settings, night.traffic)
    try:
        _steps(night, cloud, source)
    finally:
        source.close()


def _steps(night: RunContext, cloud: Cloud, source: Source) -> None:
    """Read both sides, plan, check the brakes, write."""
    guest_sha256 = read_guest_photo(night)
    if night.options.only:
        read_chosen(night, source, cloud.transport)
        match(night)
    else:
        all_listed = read_accounts(night, cloud.transport)
        read_people(night, source)
        match(night)
        if not all_listed and find_lost_accounts(night, cloud.transport):
            match(night)
        drop_departed(night, source)
        list_guests(night, guest_sha256)
    tell_none_synced(night)
    source.close()
    targets = open_targets(night, cloud)
    for target in targets:
        _plan(night, target)
    if night.options.dry_run:
        for target in targets:
            _tell_plan(night, target)
    check_plan(night)
    if not night.options.dry_run:
        for target in targets:
            Applier(night, target, PlannedSteps(night, target, source)).run(sum(count_plan(night.db)[:3]))
    drop_gone_accounts(night, cloud.transport)
    load_conflict_source_photos(night, source)


def _plan(night: RunContext, target: Target) -> None:
    """Plan a target; what was decided stands, also where the service ends it before its end."""
    Planner(night, target).run()
    with transaction(night.db):
        reports, removes = night.settings.sync_conflict == "report", night.settings.sync_removed == "remove"
        save_standing(night.db, night.run, target.name, report_conflicts=reports, removes=removes)
        if night.options.only:
            copy_standing_to_outcomes(night.db, night.run, person_ids=night.chosen_ids)


def _tell_plan(night: RunContext, target: Target) -> None:
    """Tell what would be done, also where a brake would stop it: that is what somebody looks at the plan for."""
    for chunk in steps(night.db, target.name, chunk=200):
        with transaction(night.db):
            for step in chunk:
                record_outcome(
                    night,
                    target.name,
                    step.item,
                    action=step.action,
                    reason=step.reason,
                    detail=step.detail,
                    conflict=step.conflict,
                )


def _postpone(night: RunContext) -> None:
    """Leave for the next run whoever is due and was not done."""
    is_limit = ExitCode.LIMIT in night.codes
    detail = "The run reached its limit." if is_limit else "The run was stopped before this person's turn."
    postpone_remaining(night, detail)
    if night.options.resend and any(
        items for target in night.settings.targets for items in work.undone(night.db, target)
    ):
        night.add_notice(RESEND_RESTS)
    for target in night.settings.targets:
        for items in work.undone(night.db, target):
            with transaction(night.db):
                for item in items:
                    refused = night.refused.get(item.account.id)
                    if refused is not None:
                        record_error(night, target, item, refused)
                        continue
                    record_outcome(night, target, item, action=Action.SKIP, reason=Reason.POSTPONED, detail=detail)


def _finish(night: RunContext, message: str, pace: dict[str, float]) -> None:
    """Store how the night ended, and forget what is old."""
    chosen = night.options.is_chosen
    _postpone(night)
    totals = count_totals(night.db, night.run, night.settings.targets, chosen=chosen)
    totals["conflicts"] = count_conflicts(night.db, night.run)
    totals["unmatched_accounts"] = unmatched_accounts(night.db)
    totals["open_intents"] = count_intents(night.db)
    totals["postponed"] = count_reason(night.db, night.run, Reason.POSTPONED)
    competing = count_reason(night.db, night.run, Reason.COMPETING_WRITER)
    if competing > COMPETING_MORE_THAN:
        night.add_notice(COMPETING.format(count=competing))
    if totals["failed"]:
        night.codes.add(ExitCode.SOME_FAILED)
    code = next((code for code in PRECEDENCE if code in night.codes), ExitCode.OK)
    mode = "full" if "full" in night.modes else "changes"
    values = {
        "mode": mode,
        "exit_code": int(code),
        "message": message,
        "totals": totals,
        "requests": night.traffic.counts(),
        "pace": pace,
        "notices": night.notices,
    }
    with transaction(night.db):
        if night.options.dry_run and not chosen:
            copy_standing_to_outcomes(night.db, night.run)
        finish_run(night.db, night.run, now=night.clock(), values=values)
    if not night.options.dry_run:
        days = {"ledger_days": night.settings.ledger_days, "backup_days": night.settings.backup_days}
        for sentence in forget_old(night.db, night.backups, now=night.clock(), **days):
            log.warning("%s", sentence)
