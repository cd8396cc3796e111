"""What is a night, top to bottom? Accounts, people, match, plan, brakes, writes; then it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from connector.cloud import Cloud, open_cloud
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
from connector.model.reasons import COMPETING_NOTICE, MANY_COMPETING
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
from connector.sync.read_accounts import drop_gone_accounts, find_lost_accounts, read_accounts
from connector.sync.read_chosen import read_chosen
from connector.sync.read_people import drop_departed, match, read_people, tell_none_synced
from connector.sync.restore import postpone_remaining, undo
from connector.sync.targets import open_targets
from connector.targets import Target

log = logging.getLogger("connector.sync")

PRECEDENCE = (
    *(ExitCode.INTERRUPTED, ExitCode.FAULT, ExitCode.SETTINGS, ExitCode.BRAKE),
    *(ExitCode.UNREACHABLE, ExitCode.SOME_FAILED, ExitCode.LIMIT),
)

NO_BACKUPS = "BACKUP_DAYS is 0: no replaced or removed photo is kept, so nothing of this run can be undone."


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
        context = RunContext(
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
        context.add_notice(state.notice)
        if settings.backup_days == 0:
            context.add_notice(NO_BACKUPS)
        _run(context, doors)
        if options.dry_run:
            with transaction(state.db):
                copy_run(db, state.db, run)
        row = find_run(db, run)
        if row is None:
            raise LookupError(f"run {run} is not in the ledger")
        yield load_report(db, row, backups=state.backups, spool=state.spool, conflicts=context.conflicts)


def _run(context: RunContext, doors: Backends) -> None:
    """Do the night and finish it, however it ends."""
    message, pace = "", {}
    work.begin_work(context.db)
    begin_plan(context.db)
    begin_undo(context.db)
    try:
        with doors.cloud(context.settings, context.traffic) as cloud:
            context.cancel_waiting = cloud.transport.throttle.close
            try:
                _do(context, cloud, doors)
            finally:
                pace = cloud.transport.pace()
    except StopRun as stop:
        context.codes.add(stop.exit_code)
        context.refused = stop.refused if isinstance(stop, EverybodyRefused) else {}
        message = str(stop)
    except KeyboardInterrupt:
        context.codes.add(ExitCode.INTERRUPTED)
        goes_on = "" if context.options.resend else ", the next run goes on"
        message = f"The run was interrupted; what was done is remembered{goes_on}."
    except BaseException as fault:
        context.codes.add(ExitCode.FAULT)
        _finish(context, f"A fault of the program itself: {type(fault).__name__}.", pace)
        raise
    _finish(context, message, pace)


def _do(context: RunContext, cloud: Cloud, doors: Backends) -> None:
    """Take an earlier run back, or sync."""
    if context.options.undo is not None:
        undo(context, cloud)
        return
    source = doors.source(context.settings, context.traffic)
    try:
        _steps(context, cloud, source)
    finally:
        source.close()


def _steps(context: RunContext, cloud: Cloud, source: Source) -> None:
    """Read both sides, plan, check the brakes, write."""
    guest_sha256 = read_guest_photo(context)
    if context.options.only:
        read_chosen(context, source, cloud.transport)
        match(context)
    else:
        all_listed = read_accounts(context, cloud.transport)
        read_people(context, source)
        match(context)
        if not all_listed and find_lost_accounts(context, cloud.transport):
            match(context)
        drop_departed(context, source)
        list_guests(context, guest_sha256)
    tell_none_synced(context)
    source.close()
    targets = open_targets(context, cloud)
    for target in targets:
        _plan(context, target)
    if context.options.dry_run:
        for target in targets:
            _tell_plan(context, target)
    check_plan(context)
    if not context.options.dry_run:
        for target in targets:
            Applier(context, target, PlannedSteps(context, target, source)).run(sum(count_plan(context.db)[:3]))
    drop_gone_accounts(context, cloud.transport)
    load_conflict_source_photos(context, source)


def _plan(context: RunContext, target: Target) -> None:
    """Plan a target; what was decided stands, also where the service ends it before its end."""
    Planner(context, target).run()
    with transaction(context.db):
        reports, removes = context.settings.sync_conflict == "report", context.settings.sync_removed == "remove"
        save_standing(context.db, context.run, target.name, report_conflicts=reports, removes=removes)
        if context.options.only:
            copy_standing_to_outcomes(context.db, context.run, person_ids=context.chosen_ids)


def _tell_plan(context: RunContext, target: Target) -> None:
    """Tell what would be done, also where a brake would stop it: that is what somebody looks at the plan for."""
    for chunk in steps(context.db, target.name, chunk=200):
        with transaction(context.db):
            for step in chunk:
                record_outcome(
                    context,
                    target.name,
                    step.item,
                    action=step.action,
                    reason=step.reason,
                    detail=step.detail,
                    conflict=step.conflict,
                )


def _postpone(context: RunContext) -> None:
    """Leave for the next run whoever is due and was not done."""
    is_limit = ExitCode.LIMIT in context.codes
    detail = "The run reached its limit." if is_limit else "The run was stopped before this person's turn."
    postpone_remaining(context, detail)
    if context.options.resend and any(
        items for target in context.settings.targets for items in work.undone(context.db, target)
    ):
        context.add_notice(RESEND_RESTS)
    for target in context.settings.targets:
        for items in work.undone(context.db, target):
            with transaction(context.db):
                for item in items:
                    refused = context.refused.get(item.account.id)
                    if refused is not None:
                        record_error(context, target, item, refused)
                        continue
                    record_outcome(context, target, item, action=Action.SKIP, reason=Reason.POSTPONED, detail=detail)


def _finish(context: RunContext, message: str, pace: dict[str, float]) -> None:
    """Store how the night ended, and forget what is old."""
    chosen = context.options.is_chosen
    _postpone(context)
    totals = count_totals(context.db, context.run, context.settings.targets, chosen=chosen)
    totals["conflicts"] = count_conflicts(context.db, context.run)
    totals["unmatched_accounts"] = unmatched_accounts(context.db)
    totals["open_intents"] = count_intents(context.db)
    totals["postponed"] = count_reason(context.db, context.run, Reason.POSTPONED)
    competing = count_reason(context.db, context.run, Reason.COMPETING_WRITER)
    if competing > MANY_COMPETING:
        context.add_notice(COMPETING_NOTICE.format(count=competing))
    if totals["failed"]:
        context.codes.add(ExitCode.SOME_FAILED)
    code = next((code for code in PRECEDENCE if code in context.codes), ExitCode.OK)
    mode = "full" if "full" in context.modes else "changes"
    values = {
        "mode": mode,
        "exit_code": int(code),
        "message": message,
        "totals": totals,
        "requests": context.traffic.counts(),
        "pace": pace,
        "notices": context.notices,
    }
    with transaction(context.db):
        if context.options.dry_run and not chosen:
            copy_standing_to_outcomes(context.db, context.run)
        finish_run(context.db, context.run, now=context.clock(), values=values)
    if not context.options.dry_run:
        days = {"ledger_days": context.settings.ledger_days, "backup_days": context.settings.backup_days}
        for sentence in forget_old(context.db, context.backups, now=context.clock(), **days):
            log.warning("%s", sentence)
