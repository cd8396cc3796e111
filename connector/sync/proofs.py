"""Finish the proofs (`check --prove`) that were cut short: put back the photo that was there, or remove ours."""

from __future__ import annotations

import hashlib
import sqlite3
import time

from connector.cloud import Cloud
from connector.errors import ConnectorError, PersonError
from connector.ledger.accounts import find_account
from connector.ledger.files import Backups
from connector.ledger.proofs import close_proof, open_proofs
from connector.ledger.writes import Write
from connector.model import Account, Clock, CloudPhoto, Fingerprint
from connector.photo import PictureRefused, read_print
from connector.sync.context import RunContext
from connector.sync.summary import Summaries, notice
from connector.sync.targets import open_targets
from connector.targets import Target

# So long a finished proof waits until the cloud no longer shows the test picture.
MAX_WAIT_SECONDS = 30.0
PAUSE_SECONDS = 1.0

NOT_YET = "The proof of run {run} was cut short; the next run that may write puts back what was there."
NO_TARGET = "The proof of run {run} was cut short and TARGETS does not name {target}; nothing was put back."


def finish_proofs(context: RunContext, cloud: Cloud) -> Summaries[None]:
    """Finish every open proof before anything is read; yield a notice for each. Without one nothing is requested."""
    writes = open_proofs(context.db)
    if not writes:
        return
    targets = {target.name: target for target in open_targets(context, cloud)}
    for write in writes:
        target = targets.get(write.target)
        if context.options.dry_run or context.settings.sync_staging:
            yield notice(NOT_YET.format(run=write.run))
        elif target is None:
            yield notice(NO_TARGET.format(run=write.run, target=write.target))
        else:
            yield notice(finish_proof(context.db, context.backups, target, write, clock=context.clock))


def finish_proof(db: sqlite3.Connection, backups: Backups, target: Target, write: Write, *, clock: Clock) -> str:
    """Put back what was there before a proof and close it; return what was done, as a sentence.

    A person's error leaves it open, so that the next run tries again.
    """
    account = find_account(db, write.account_id) or Account(id=write.account_id)
    opening = f"The proof of run {write.run} was cut short"
    try:
        text, is_done = _put_back(backups, target, write, account)
    except PersonError as error:
        return f"{opening}; nothing was put back, and the next run tries again: {error.message}"
    if is_done:
        _wait_until_gone(target, account, write)
    message = f"{opening}; {text}"
    close_proof(db, write, now=clock(), message=message)
    return message


def is_ours_to_undo(shown_bytes: bytes | None, write: Write, before_bytes: bytes | None) -> bool:
    """Return True if the cloud shows the test picture, what was there before it, or nothing.

    A read may lag behind a write, so that the photo from before says nothing against a test picture that is to come.
    """
    if shown_bytes is None:
        return True
    if hashlib.sha256(shown_bytes).hexdigest() == write.before_sha256:
        return True
    shown, before = print_of(shown_bytes), print_of(before_bytes) if before_bytes else None
    known = [fingerprint for fingerprint in (write.sent_print, before) if fingerprint is not None]
    return shown is not None and any(shown.shows_same(fingerprint) for fingerprint in known)


def print_of(content_bytes: bytes) -> Fingerprint | None:
    """Return what these bytes show; None if they are no picture."""
    try:
        return read_print(content_bytes)
    except PictureRefused:
        return None


def _put_back(backups: Backups, target: Target, write: Write, account: Account) -> tuple[str, bool]:
    shown = _read(target, account)
    before_bytes = backups.load(write.before_sha256) if write.before_sha256 else None
    if not is_ours_to_undo(shown, write, before_bytes):
        return "the photo was changed since, so it was left as it is.", False
    if before_bytes is not None:
        target.put_back(account, before_bytes)
        return "the photo from before it was put back.", True
    if write.before_sha256:
        return "the photo from before it is no longer kept, so the account was left as it is.", False
    target.remove(account)
    return "the test picture was removed.", True


def _read(target: Target, account: Account) -> bytes | None:
    answer = target.photos([account])[account.id]
    if isinstance(answer, PersonError):
        raise answer
    return answer.content_bytes if isinstance(answer, CloudPhoto) else None


def _wait_until_gone(target: Target, account: Account, write: Write) -> None:
    """Wait until the cloud no longer shows the test picture, so that the run does not take it for somebody's edit."""
    end = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < end:
        try:
            shown_bytes = _read(target, account)
        except ConnectorError:
            return
        shown = print_of(shown_bytes) if shown_bytes is not None else None
        if shown is None or write.sent_print is None or not shown.shows_same(write.sent_print):
            return
        time.sleep(PAUSE_SECONDS)
