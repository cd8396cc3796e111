"""Define the input and output of one decision: the terms of the decision table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from connector.decide.compare import CloudView, ViewKind
from connector.decide.intents import IntentState
from connector.model import Action, Conflict, Fingerprint, Intent, Memory, Picture, Reason, Removed
from connector.model.reasons import EXCLUDING, UNUSABLE

UNSEEN = CloudView(ViewKind.NOT_ASKED)


class MatchState(StrEnum):
    """Define how many accounts were found for a person, and whether the one may be used.

    DISPUTED: the SID of the one found is another person's. CLOUD_MANAGED: it is left alone, being managed in the cloud.
    """

    OK = "ok"
    NONE = "none"
    AMBIGUOUS = "ambiguous"
    DISPUTED = "disputed"
    CLOUD_MANAGED = "cloud-managed"


class PersonRule(IntEnum):
    """Name what a setting decides for single people; of several the lowest applies, and EXTERNAL before the groups.

    EXTERNAL: the account is an external one (MATCH_EXTERNAL).
    """

    NONE = 0
    OPTED_OUT = 1
    KEEP_CLOUD = 2
    SOURCE_WINS = 3
    EXTERNAL = 4


class MemoryChange(StrEnum):
    """Define what the memory becomes; for a write, after its success."""

    UNTOUCHED = "untouched"
    OURS_SENT = "ours-sent"
    OURS_ADOPTED = "ours-adopted"
    REFRESHED = "refreshed"
    THEIRS = "theirs"
    CLEARED = "cleared"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class SourceState:
    """Represent the source's state for a person: a photo (its sha256), a cleared photo, or why it is excluded."""

    sha256: str = ""
    left_out: Reason | None = None

    @classmethod
    def photo(cls, sha256: str) -> SourceState:
        """Return the state with a usable photo; raises ValueError without its sha256."""
        if not sha256:
            raise ValueError("A photo needs its sha256.")
        return cls(sha256=sha256)

    @classmethod
    def cleared(cls) -> SourceState:
        """Return the state of a person who was read and has no photo in any readable attribute."""
        return cls()

    @classmethod
    def exclude(cls, reason: Reason) -> SourceState:
        """Return the state of a person or picture that is excluded; raises ValueError for a reason of another kind."""
        if reason not in EXCLUDING:
            raise ValueError(f"{reason} does not leave a source out.")
        return cls(left_out=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Contain all that one decision depends on: what the ledger knows, and from `assess` on what the cloud shows.

    `sent_sha256` is that of the prepared picture, empty if it is unknown or was prepared by an older recipe.
    `other_prints` are the pictures of the person's other photo attributes. `failed` is why a look failed. `settled` is
    how the intent ended; `memory` and `view` are then those after it. `other_attribute_shown`: the cloud photo equals
    another photo attribute of the same person.
    """

    person_id: str
    source: SourceState
    match: MatchState = MatchState.OK
    is_guest: bool = False
    memory: Memory | None = None
    intent: Intent | None = None
    picture: Picture | None = None
    sent_sha256: str = ""
    other_prints: tuple[Fingerprint, ...] = ()
    failed: Reason | None = None
    settled: IntentState | None = None
    view: CloudView = UNSEEN
    other_attribute_shown: bool = False

    @property
    def is_changed(self) -> bool:
        """Return True if the source is another one than remembered; another person is another source."""
        memory = self.memory
        return memory is None or (memory.person_id, memory.source_sha256) != (self.person_id, self.source.sha256)

    def is_left_out(self, policy: Policy) -> bool:
        """Return True if person or picture takes no part; an opt-out does not wait for a usable picture."""
        reason = self.source.left_out
        return reason is not None and not (policy.opted_out and reason in UNUSABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Contain what the administrator decided, by settings or, for some people, by an option of this run.

    `spares_others`: no photo is replaced that is not ours.
    """

    conflict: Conflict = Conflict.SOURCE
    removed: Removed = Removed.KEEP
    resend: bool = False
    overwrite: bool = False
    clear: bool = False
    opted_out: bool = False
    spares_others: bool = False

    def of(self, rule: PersonRule) -> Policy:
        """Return the policy for a person to whom a rule applies."""
        if rule is PersonRule.OPTED_OUT:
            return replace(self, opted_out=True)
        if rule is PersonRule.EXTERNAL:
            return replace(self, conflict=Conflict.CLOUD, overwrite=False, spares_others=True)
        if rule is PersonRule.KEEP_CLOUD:
            return replace(self, conflict=Conflict.CLOUD)
        return replace(self, conflict=Conflict.SOURCE) if rule is PersonRule.SOURCE_WINS else self


@dataclass(frozen=True, slots=True)
class Decision:
    """Represent what is done about one person and why, and what is remembered afterwards.

    `conflict` counts and lists it; `over_foreign` counts for SYNC_MAX_OVERWRITES: the write goes over a cloud
    state that we did not make. `detail` is what there is to say besides, e.g. the facts of both pictures of a conflict.
    """

    action: Action
    reason: Reason
    becomes: MemoryChange = MemoryChange.UNTOUCHED
    conflict: bool = False
    over_foreign: bool = False
    detail: str = ""

    @property
    def writes(self) -> bool:
        """Return True if something is written to the cloud."""
        return self.action in (Action.CREATE, Action.REPLACE, Action.REMOVE)

    @property
    def needs_backup(self) -> bool:
        """Return True if a cloud photo is lost by the write, so that it must be kept first."""
        return self.action in (Action.REPLACE, Action.REMOVE)
