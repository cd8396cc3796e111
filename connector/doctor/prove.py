"""Prove on one account how the service behaves: write a test picture, read it back, and put back what was there.

The write is stored before it is sent, so that the next run finishes a proof that was cut short (`sync.proofs`).
"""

from __future__ import annotations

import hashlib
import io
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from connector.cloud import Cloud, open_cloud
from connector.cloud.response import Response, read_refusal
from connector.config import Settings
from connector.decide.case import PersonRule
from connector.doctor.photo_reads import IsShown, PhotoLook, PhotoReader
from connector.errors import ExitCode, Unreachable, UsageError
from connector.interrupts import keep_signals, until_interrupted
from connector.ledger import worklist
from connector.ledger.accounts import find_account
from connector.ledger.history import person_status
from connector.ledger.memberships import SETTINGS, memberships_of
from connector.ledger.people import account_of
from connector.ledger.proofs import KIND, begin_proof, close_proof, has_open_intent, open_proofs
from connector.ledger.runs import begin_run
from connector.ledger.state import State, dry_run_copy
from connector.ledger.store import transaction
from connector.ledger.writes import Write
from connector.model import Account, Clock, NoProgress, Reason, RequestCounters, utc_now
from connector.photo import read_print, shrink
from connector.sources.open import open_source
from connector.sync.context import Options, RunContext
from connector.sync.memberships import read_opt_out_file
from connector.sync.observe import is_no_picture
from connector.sync.proofs import finish_proof, is_ours_to_undo, print_of
from connector.sync.read_chosen import read_chosen
from connector.sync.read_people import match
from connector.sync.summary import RunTotals
from connector.targets.graph import JPEG, GraphTarget

# Only photos in these formats are replaced for a while: JPEG, PNG.
_TAKEN_BACK = (b"\xff\xd8\xff", b"\x89PNG")
# No proof waits longer than these, in all: for the write, for the same bytes again, for what was put back.
WRITE_SECONDS, AGAIN_SECONDS, RESTORE_SECONDS = 60.0, 20.0, 40.0


@dataclass(slots=True, kw_only=True)
class Proof:
    """Contain what was measured; nothing in it names a person or a tenant.

    `delays` and `restore_delays` are seconds by way of reading, None where it was not seen in time. `stored` is the
    look at our picture, `again` the one after the same bytes were sent once more.
    """

    started: str
    sent_bytes: bytes = field(repr=False)
    before: PhotoLook = field(default_factory=PhotoLook)
    moved_unasked: bool = False
    put_status: int = 0
    put_error: str = ""
    delays: dict[str, float | None] = field(default_factory=dict)
    stored: PhotoLook | None = None
    again_status: int = 0
    again: PhotoLook | None = None
    restore_status: int = 0
    restore_delays: dict[str, float | None] = field(default_factory=dict)
    was_changed_meanwhile: bool = False
    was_interrupted: bool = False
    finished: str = ""
    requests: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        """Return 130, or 5 if the service refused the write, or 3 if a read did not show a write in time, else 0."""
        if self.was_interrupted:
            return ExitCode.INTERRUPTED
        if self.put_error:
            return ExitCode.UNREACHABLE
        late = None in (*self.delays.values(), *self.restore_delays.values())
        return ExitCode.SOME_FAILED if late or self.was_changed_meanwhile else ExitCode.OK


def prove(state: State, settings: Settings, name: str, *, clock: Clock = utc_now) -> Proof:
    """Prove on the account of one person; raises UsageError if the name does not fit exactly one person's account."""
    if "graph" not in settings.targets:
        raise UsageError("--prove writes to Microsoft 365 through Graph, which TARGETS does not name.")
    if settings.sync_staging:
        raise UsageError("SYNC_STAGING is on: this server does not write.", "Set SYNC_STAGING=false for --prove.")
    traffic = RequestCounters()
    proof = Proof(started=clock().isoformat(timespec="seconds"), sent_bytes=draw_test_picture())
    with open_cloud(settings, traffic) as cloud:
        target = GraphTarget(cloud.transport, shrink=shrink)
        for write in open_proofs(state.db):
            proof.notices.append(finish_proof(state.db, state.backups, target, write, clock=clock))
        if open_proofs(state.db):
            raise Unreachable(cloud.transport.system, proof.notices[-1])
        account, person_id = _find(state, settings, name, cloud=cloud, traffic=traffic, clock=clock)
        prover = _Prover(state, PhotoReader(cloud.transport, account), proof, clock)
        prover.run(person_id)
    proof.finished = clock().isoformat(timespec="seconds")
    proof.requests = dict(traffic.counts())
    return proof


def _find(
    state: State, settings: Settings, name: str, *, cloud: Cloud, traffic: RequestCounters, clock: Clock
) -> tuple[Account, str]:
    """Read and match this person as `sync --only` does, in a copy of the ledger; return the account and the id."""
    with dry_run_copy(state) as db, _renamed_option():
        with transaction(db):
            run = begin_run(db, kind=KIND, now=clock(), dry_run=True, chosen=True)
        worklist.begin_work(db)
        context = RunContext(
            settings=settings,
            options=Options(dry_run=True, only=(name,)),
            db=db,
            folder=state.folder,
            run=run,
            started=clock(),
            clock=clock,
            traffic=traffic,
            progress=NoProgress(),
            spool=state.spool,
            backups=state.backups,
        )
        totals, source = RunTotals(), open_source(settings, traffic)
        try:
            totals.collect(read_chosen(context, source, cloud.transport))
        finally:
            source.close()
        match(context)
        totals.collect(read_opt_out_file(context))
        person_id = totals.summary.chosen_ids[0]
        _refuse_left_alone(db, person_id)
        account = find_account(db, account_of(db, person_id))
    if account is None:
        fix = "`photo-connector sync --dry-run --only PERSON` shows the reason."
        raise UsageError("--prove: this user has no account in Microsoft 365 that is matched without doubt.", fix)
    if has_open_intent(state.db, account.id):
        raise UsageError("--prove: a write to this account awaits its confirmation.", "Run `photo-connector sync`.")
    return account, person_id


def _refuse_left_alone(db: sqlite3.Connection, person_id: str) -> None:
    """Raise UsageError for a person who opted out, or whose account is managed in the cloud."""
    if any(SETTINGS[one.setting] is PersonRule.OPTED_OUT for one in memberships_of(db, person_id)):
        raise UsageError("--prove: this user opted out, so nothing is sent for them.", "Name another user.")
    status = person_status(db, person_id)
    if status is not None and status.match_problem == Reason.CLOUD_MANAGED:
        fix = "Name another user, or set SYNC_CLOUD_MANAGED=follow."
        raise UsageError("--prove: the account of this user is managed in the cloud, so nothing is sent to it.", fix)


@contextmanager
def _renamed_option() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise UsageError(error.message.replace("--only", "--prove", 1), error.fix) from error


class _Prover:
    """Take the steps of one proof on one account."""

    def __init__(self, state: State, reader: PhotoReader, proof: Proof, clock: Clock) -> None:
        self._state, self._reader, self._proof, self._clock = state, reader, proof, clock

    def run(self, person_id: str) -> None:
        """Look, keep what is there, write and measure; whatever happens, put back what was there."""
        proof = self._proof
        proof.before = self._reader.look()
        proof.moved_unasked = self._reader.look().tag != proof.before.tag
        before_bytes = proof.before.content_bytes
        if before_bytes and is_no_picture(before_bytes):
            raise Unreachable(self._reader.transport.system, "what came as this user's photo is no picture")
        if before_bytes and not before_bytes.startswith(_TAKEN_BACK):
            message = "this user has a photo that is neither JPEG nor PNG, which the service may not take back"
            raise Unreachable(self._reader.transport.system, message, "Name another user.")
        if proof.before.tag and not before_bytes:
            raise Unreachable(self._reader.transport.system, "this user has a photo whose bytes cannot be read")
        keep_signals()
        write = begin_proof(
            self._state.db,
            "graph",
            account_id=self._reader.account.id,
            person_id=person_id,
            before_sha256=self._state.backups.keep(before_bytes) if before_bytes else "",
            sent_sha256=hashlib.sha256(proof.sent_bytes).hexdigest(),
            sent_print=read_print(proof.sent_bytes),
            now=self._clock(),
        )
        try:
            proof.was_interrupted = until_interrupted(self._measure)
        finally:
            self._restore(write)
        if proof.was_interrupted:
            raise KeyboardInterrupt

    def _measure(self) -> None:
        """Write the test picture twice, and wait each time until it is seen."""
        proof = self._proof
        answer = self._put(proof.sent_bytes)
        proof.put_status = answer.status
        if not answer.ok or answer.is_web_page:
            # without the message, which may hold a name
            proof.put_error = f"HTTP {answer.status}, {read_refusal(answer).code or 'no code'}"
            return
        proof.delays, proof.stored = self._reader.wait_until(self._shows_test(proof.before), seconds=WRITE_SECONDS)
        first = proof.stored
        again = self._put(proof.sent_bytes)
        proof.again_status = again.status
        if again.ok:
            longest = max((delay or 0.0 for delay in proof.delays.values()), default=0.0)
            seconds = min(AGAIN_SECONDS, 2 * longest + 2)
            _, proof.again = self._reader.wait_until(
                {"metadata": lambda look: look.tag not in ("", first.tag)}, seconds=seconds
            )

    def _restore(self, write: Write) -> None:
        """Put back what was there, wait until it is seen, and close the proof; what fails is left to the next run."""
        proof, before = self._proof, self._proof.before
        look = self._reader.look()
        if not is_ours_to_undo(look.content_bytes or None, write, before.content_bytes or None):
            proof.was_changed_meanwhile = True
            close_proof(self._state.db, write, now=self._clock(), exit_code=ExitCode.SOME_FAILED)
            return
        if 400 <= proof.put_status < 500 and look.tag == before.tag:  # refused: there is nothing to undo
            close_proof(self._state.db, write, now=self._clock(), exit_code=proof.exit_code, message=proof.put_error)
            return
        answer = self._put(before.content_bytes) if before.has_photo else self._delete()
        proof.restore_status = answer.status
        is_gone = answer.status == 404 and not before.has_photo and not answer.is_web_page
        if not is_gone and (not answer.ok or answer.is_web_page):
            message = f"what was there could not be put back: {read_refusal(answer)}"
            raise Unreachable(self._reader.transport.system, message, "The next run tries again.")
        shown = self._shows_before(look)
        proof.restore_delays, _ = self._reader.wait_until(shown, seconds=RESTORE_SECONDS)
        close_proof(self._state.db, write, now=self._clock(), exit_code=proof.exit_code, notices=proof.notices)

    def _shows_test(self, before: PhotoLook) -> IsShown:
        sent = read_print(self._proof.sent_bytes)
        return {
            "metadata": lambda look: look.tag not in ("", before.tag),
            "bytes": lambda look: (shown := look.shown) is not None and shown.shows_same(sent),
            "sizes": lambda look: bool(look.sizes) and look.sizes != before.sizes,
        }

    def _shows_before(self, last: PhotoLook) -> IsShown:
        before = self._proof.before
        if not before.has_photo:
            return {
                "metadata": lambda look: not look.tag,
                "bytes": lambda look: not look.has_photo,
                "sizes": lambda look: not look.sizes,
            }
        old = print_of(before.content_bytes)
        return {
            "metadata": lambda look: look.tag not in ("", last.tag),
            "bytes": lambda look: (
                look.sha256 == before.sha256
                or (old is not None and (shown := look.shown) is not None and shown.shows_same(old))
            ),
            "sizes": lambda look: bool(look.sizes) and look.sizes != last.sizes,
        }

    def _put(self, content_bytes: bytes) -> Response:
        url = f"{self._reader.path}/$value"
        return self._reader.transport.request("PUT", url, body=content_bytes, headers=JPEG, one_person=True)

    def _delete(self) -> Response:
        return self._reader.transport.request("DELETE", f"{self._reader.path}/$value", one_person=True)


TEXT = "photo-connector test"
_EDGE = 648
_FIELD = 81


def draw_test_picture() -> bytes:
    """Return a square JPEG: eight by eight fields in two blues, and a white band with the text."""
    picture = Image.new("RGB", (_EDGE, _EDGE), (70, 110, 160))
    pen = ImageDraw.Draw(picture)
    for number in range(64):
        across, down = number % 8 * _FIELD, number // 8 * _FIELD
        if (number + number // 8) % 2:
            pen.rectangle((across, down, across + _FIELD - 1, down + _FIELD - 1), fill=(150, 190, 225))
    band = Image.new("RGB", (162, 30), "white")
    ImageDraw.Draw(band).text((22, 9), TEXT, fill="black")
    picture.paste(band.resize((_EDGE, 120), Image.Resampling.BICUBIC), (0, (_EDGE - 120) // 2))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()
