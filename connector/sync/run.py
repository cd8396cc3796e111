"""Run a sync or a restore: read accounts and people, match, plan, check the brakes, write, and yield the report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial

from connector.cloud import Cloud, open_cloud
from connector.cloud.auth import credential_expiry, expiry_notice
from connector.cloud.refusal_limit import EverybodyRefused
from connector.config import Settings
from connector.decide.case import Decision
from connector.errors import BrakeError, ExitCode, PersonError, StopRun
from connector.interrupts import keep_signals, until_interrupted
from connector.ledger import worklist as work
from connector.ledger.coverage import save_source_since
from connector.ledger.matching import unmatched_accounts
from connector.ledger.memory import count_intents, set_retry
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
from connector.model import (
    STAGING,
    Action,
    Clock,
    ExceededLimit,
    Progress,
    Reason,
    RequestCounters,
    RunReport,
    utc_now,
)
from connector.model.notices import (
    COMPETING_NOTICE,
    MANY_COMPETING,
    MANY_SENT_ELSEWHERE,
    SENT_ELSEWHERE_NOTICE,
)
from connector.report.from_ledger import load_report
from connector.sources import Source
from connector.sources.open import open_source
from connector.sync.apply import PlannedSteps, apply_steps
from connector.sync.approval import approval_notices, begin_approval, record_unlisted
from connector.sync.brakes import check_plan
from connector.sync.changed_settings import count_rules, match_notice, recipe_notice
from connector.sync.conflict_photos import fetch_planned_photos, load_conflict_source_photos
from connector.sync.context import Options, RunContext, log_end, log_start, marked_records
from connector.sync.guests import list_guests, read_guest_photo
from connector.sync.memberships import read_opt_out_file, read_opt_outs
from connector.sync.outcomes import POSTPONED, record_error, record_held, record_outcome
from connector.sync.plan import Planner
from connector.sync.proofs import finish_proofs
from connector.sync.read_accounts import drop_gone_accounts, find_lost_accounts, read_accounts
from connector.sync.read_chosen import read_chosen
from connector.sync.read_people import drop_departed, finish_reading, match, notice_none_synced, read_people
from connector.sync.restore import postpone_remaining, undo
from connector.sync.summary import RunTotals, Summaries, Summary, notice
from connector.sync.targets import open_targets
from connector.targets import Target

log = logging.getLogger("connector.sync")

PRECEDENCE = (
    *(ExitCode.INTERRUPTED, ExitCode.FAULT, ExitCode.SETTINGS, ExitCode.BRAKE),
    *(ExitCode.UNREACHABLE, ExitCode.SOME_FAILED, ExitCode.LIMIT),
)

NO_BACKUPS = "BACKUP_DAYS is 0: no replaced or removed photo is kept, so nothing of this run can be undone."

STAGING_NOTICE = "SYNC_STAGING is on: this server is on stand-by, and no run of it writes a photo; false takes over."

RESEND_AGAIN = (
    "Not everybody was sent to again, and no later run does it by itself: type `photo-connector sync --resend` once "
    "more; it begins with those who were sent to longest ago."
)


@dataclass(frozen=True, slots=True)
class Backends:
    """Contain the functions that open cloud and source; tests pass their own."""

    cloud: Callable[[Settings, RequestCounters], Cloud] = open_cloud
    source: Callable[[Settings, RequestCounters], Source] = open_source


DEFAULT_BACKENDS = Backends()


@dataclass(frozen=True, slots=True)
class RunEnd:
    """Represent what ended a run early: the sentences for people, and what a safety limit found; empty if nothing did.

    `refused` are the errors, by account id, of those whose refusals ended the run.
    """

    message: str = ""
    advice: str = ""
    exceeded: tuple[ExceededLimit, ...] = ()
    refused: Mapping[str, PersonError] = field(default_factory=dict)


@contextmanager
def run_night(
    state: State,
    settings: Settings,
    options: Options,
    *,
    progress: Progress,
    clock: Clock = utc_now,
    backends: Backends = DEFAULT_BACKENDS,
) -> Iterator[RunReport]:
    """Run and yield the report, which can be read while the block lasts. Bugs of the program itself are raised.

    A stop signal ends the steps only: the run is stored as finished and reported whenever it comes.
    """
    keep_signals()
    with transaction(state.db):
        kind = STAGING if settings.sync_staging and not options.dry_run and options.undo is None else options.kind
        run = begin_run(state.db, kind=kind, now=clock(), dry_run=options.dry_run, chosen=options.is_chosen)
        begin_approval(state.db, run, options)
    copy = dry_run_copy(state) if options.dry_run else nullcontext(state.db)
    with marked_records(run, dry_run=options.dry_run), copy as db:
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
        totals = RunTotals()
        totals.add(notice(state.notice) + _first_notices(context) + approval_notices(context))
        _run(context, backends, totals)
        if options.dry_run:
            with transaction(state.db):
                copy_run(db, state.db, run)
        yield _load_report(context, state, totals)


def _load_report(context: RunContext, state: State, totals: RunTotals) -> RunReport:
    row = find_run(context.db, context.run)
    if row is None:
        raise LookupError(f"run {context.run} is not in the database")
    loaded = load_report(
        context.db,
        row,
        backups=state.backups,
        spool=state.spool,
        conflicts=totals.summary.conflict_photos,
        tenant=context.settings.azure_tenant_id,
    )
    return replace(loaded, credential_ends=credential_expiry(context.settings))


def _first_notices(context: RunContext) -> Summary:
    """Return the notices that settings give before anything is read."""
    settings = context.settings
    backups = notice("" if settings.backup_days else NO_BACKUPS)
    standby = notice(STAGING_NOTICE if settings.sync_staging else "")
    return backups + notice(expiry_notice(settings, now=context.started)) + notice(recipe_notice(context)) + standby


def _run(context: RunContext, backends: Backends, totals: RunTotals) -> None:
    """Run all steps and store how the run ended, whatever ends it."""
    log_start(context)
    end, pace = RunEnd(), dict[str, float]()
    work.begin_work(context.db)
    begin_plan(context.db)
    begin_undo(context.db)
    try:
        if until_interrupted(partial(_carry_out, context, backends, totals, pace)):
            totals.add(Summary(exit_codes=frozenset({ExitCode.INTERRUPTED})))
            goes_on = "" if context.options.resend else ", the next run goes on"
            end = RunEnd(f"The run was interrupted; what was done is remembered{goes_on}.")
    except StopRun as stop:
        totals.add(Summary(exit_codes=frozenset({stop.exit_code})))
        end = _end_by(stop)
    except BaseException as fault:
        totals.add(Summary(exit_codes=frozenset({ExitCode.FAULT})))
        end = RunEnd(f"Internal error: {type(fault).__name__}.")
        _finish(context, totals.summary, end=end, pace=pace)
        raise
    _finish(context, totals.summary, end=end, pace=pace)


def _end_by(stop: StopRun) -> RunEnd:
    """Return what is kept of an error that stopped the run."""
    if isinstance(stop, BrakeError):
        return RunEnd(str(stop), stop.fix, stop.exceeded)
    return RunEnd(str(stop), refused=stop.refused if isinstance(stop, EverybodyRefused) else {})


def _carry_out(context: RunContext, backends: Backends, totals: RunTotals, pace: dict[str, float]) -> None:
    """Run all steps; `pace` is filled at their end, whatever it is."""
    with backends.cloud(context.settings, context.traffic) as cloud:
        context = replace(context, cancel_waiting=cloud.transport.throttle.close)
        try:
            _sync_or_restore(context, cloud, backends, totals)
        finally:
            pace.update(cloud.transport.pace())


def _sync_or_restore(context: RunContext, cloud: Cloud, backends: Backends, totals: RunTotals) -> None:
    totals.collect(finish_proofs(context, cloud))
    if context.options.undo is not None:
        totals.collect(read_opt_outs(context, partial(backends.source, context.settings, context.traffic)))
        totals.collect(undo(context, cloud))
        return
    source = backends.source(context.settings, context.traffic)
    try:
        _sync(context, cloud, source, totals)
    finally:
        source.close()


def _sync(context: RunContext, cloud: Cloud, source: Source, totals: RunTotals) -> None:
    """Read both sides, plan, check the brakes, write."""
    guest_sha256 = read_guest_photo(context)
    if context.options.only:
        totals.collect(read_chosen(context, source, cloud.transport))
        match(context)
    else:
        _read_all(context, cloud, source, totals)
        list_guests(context, guest_sha256)
    totals.collect(read_opt_out_file(context))
    totals.collect(notice_none_synced(context))
    source.close()
    targets = open_targets(context, cloud)
    for target in targets:
        totals.collect(_plan(context, target, totals.summary))
    if not context.writes:
        for target in targets:
            _record_plan(context, target)
    try:
        totals.collect(check_plan(context, totals.summary))
    except BrakeError:
        _load_photos(context, targets, source, totals)
        raise
    if context.writes:
        for target in targets:
            step_source, count = PlannedSteps(context, target, source), sum(count_plan(context.db)[:3])
            uploads = totals.summary.uploads
            totals.collect(apply_steps(context, target, step_source, total=count, uploads_before=uploads))
    totals.collect(drop_gone_accounts(context, cloud.transport))
    if context.options.dry_run:
        _load_photos(context, targets, source, totals)
    else:
        load_conflict_source_photos(context, source, totals.summary.conflict_photos.values())


def _load_photos(context: RunContext, targets: Sequence[Target], source: Source, totals: RunTotals) -> None:
    """Load the pictures of a plan that is not carried out, for the report."""
    for target in targets:
        totals.collect(fetch_planned_photos(context, target, totals.summary.conflict_photos))
    load_conflict_source_photos(context, source, totals.summary.conflict_photos.values())


def _read_all(context: RunContext, cloud: Cloud, source: Source, totals: RunTotals) -> None:
    """Read all accounts and people and match them."""
    rules_before = count_rules(context)
    all_listed = totals.collect(read_accounts(context, cloud.transport))
    totals.collect(read_people(context, source))
    totals.collect(finish_reading(context, source, totals.summary))
    match(context)
    if not all_listed and totals.collect(find_lost_accounts(context, cloud.transport)):
        match(context)
    totals.add(notice(match_notice(rules_before, count_rules(context))))
    totals.collect(drop_departed(context, source, totals.summary))


def _plan(context: RunContext, target: Target, read: Summary) -> Summaries[None]:
    """Plan a target; decisions that were made stay, also if an exception ends the planning."""
    planner = Planner(context, target, read)
    try:
        planner.run()
    finally:
        yield planner.summary
    yield from record_unlisted(context, target.name)
    with transaction(context.db):
        reports, removes = context.settings.sync_conflict == "report", context.settings.sync_removed == "remove"
        save_standing(context.db, context.run, target.name, report_conflicts=reports, removes=removes)
        if context.options.only:
            copy_standing_to_outcomes(context.db, context.run, person_ids=read.chosen_ids)


def _record_plan(context: RunContext, target: Target) -> None:
    """Record the steps of a run that does not write as outcomes, before the brakes.

    The next run of a stand-by server looks at these people again: the other server may have written meanwhile.
    """
    for chunk in steps(context.db, target.name, chunk=200):
        with transaction(context.db):
            for step in chunk:
                record_outcome(context, target.name, step.item, step.decision)
                set_retry(context.db, target.name, step.item.person.id, retry=POSTPONED)


def _record_held(context: RunContext, target: str) -> None:
    """Record the steps of a plan that a safety limit stopped: each was held, and what it would have been."""
    for chunk in steps(context.db, target, chunk=200):
        with transaction(context.db):
            for step in chunk:
                record_held(context, target, step)


def _postpone(context: RunContext, summary: Summary, refused: Mapping[str, PersonError]) -> Summary:
    """Record as postponed everybody who was due and not done.

    `refused` are the errors, by account id, of those whose refusals ended the run; the next run asks them last.
    """
    is_limit = ExitCode.LIMIT in summary.exit_codes
    detail = "The run reached its limit." if is_limit else "The run was stopped before this person's turn."
    is_held = ExitCode.BRAKE in summary.exit_codes and context.writes
    resends = context.options.resend and context.options.approval is None
    postpone_remaining(context, detail, is_held=is_held)
    postponed = 0
    for target in context.settings.targets:
        if is_held:
            _record_held(context, target)
        for items in work.undone(context.db, target):
            postponed += len(items)
            with transaction(context.db):
                for item in items:
                    if item.account.id in refused:
                        record_error(context, target, item, refused[item.account.id])
                    else:
                        postpone = Decision(Action.SKIP, Reason.POSTPONED, detail=detail)
                        record_outcome(context, target, item, postpone)
    return notice(RESEND_AGAIN if resends and postponed else "")


def _finish(
    context: RunContext,
    summary: Summary,
    *,
    end: RunEnd,
    pace: dict[str, float],
) -> None:
    """Store how the run ended, and delete what is older than LEDGER_DAYS and BACKUP_DAYS."""
    chosen = context.options.is_chosen
    summary += _postpone(context, summary, end.refused)
    totals = count_totals(context.db, context.run, context.settings.targets, chosen=chosen)
    totals["conflicts"] = count_conflicts(context.db, context.run)
    totals["unmatched_accounts"] = unmatched_accounts(context.db)
    totals["open_intents"] = count_intents(context.db)
    totals["postponed"] = count_reason(context.db, context.run, Reason.POSTPONED)
    competing = count_reason(context.db, context.run, Reason.COMPETING_WRITER)
    if competing > MANY_COMPETING:
        summary += notice(COMPETING_NOTICE.format(count=competing))
    if summary.sent_elsewhere >= MANY_SENT_ELSEWHERE:
        summary += notice(SENT_ELSEWHERE_NOTICE.format(count=summary.sent_elsewhere))
    exit_codes = summary.exit_codes | ({ExitCode.SOME_FAILED} if totals["failed"] else set())
    values = {
        "mode": "full" if "full" in summary.read_modes else "changes",
        "exit_code": int(next((code for code in PRECEDENCE if code in exit_codes), ExitCode.OK)),
        "message": end.message,
        "advice": end.advice,
        "exceeded": [asdict(limit) for limit in end.exceeded],
        "sent_elsewhere": summary.sent_elsewhere,
        "totals": totals,
        "requests": context.traffic.counts(),
        "pace": pace,
        "notices": list(summary.notices),
    }
    with transaction(context.db):
        save_source_since(context.db, context.run, now=context.clock())
        if context.options.dry_run and not chosen:
            copy_standing_to_outcomes(context.db, context.run)
        finish_run(context.db, context.run, now=context.clock(), values=values)
    log_end(context, exit_code=values["exit_code"], totals=totals)
    if not context.options.dry_run:
        days = {"ledger_days": context.settings.ledger_days, "backup_days": context.settings.backup_days}
        for sentence in forget_old(context.db, context.backups, now=context.clock(), **days):
            log.warning("%s", sentence)
