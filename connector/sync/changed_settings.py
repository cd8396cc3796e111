"""Report what a changed setting does: PHOTO_SIZE and PHOTO_CROP, LDAP_ANCHOR and MATCH_FALLBACK."""

from __future__ import annotations

from collections.abc import Mapping

from connector.ledger.matching import count_match_rules
from connector.ledger.memory import count_other_recipes
from connector.ledger.runs import is_noticed
from connector.model import MatchRule
from connector.sync.context import RunContext

# A change in fewer matches than this is the work of a day, not of a setting.
LEAST_MATCHES = 5


def recipe_notice(context: RunContext) -> str:
    """Return what another PHOTO_SIZE or PHOTO_CROP does, once for each value; empty text where nobody is concerned."""
    if context.options.resend or context.options.undo is not None:
        return ""
    settings = context.settings
    count = count_other_recipes(context.db, context.recipe.key)
    now = f"PHOTO_SIZE={settings.photo_size} and PHOTO_CROP={settings.photo_crop}"
    begin = f"{now} apply to photos that change from now on"
    if not count or is_noticed(context.db, begin, before=context.run):
        return ""
    return (
        f"{begin}; {count:,} photos in the cloud were made with other values and stay as they are. "
        "`photo-connector sync --resend` sends all of them again."
    )


def match_notice(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """Return by which rules people are matched, if most of those of one rule are matched by another now; else "".

    Such as after a change of LDAP_ANCHOR or MATCH_FALLBACK, or where an attribute is no longer readable.
    """
    lost = [rule for rule, count in before.items() if count >= LEAST_MATCHES and after.get(rule, 0) * 2 < count]
    if not lost or sum(after.values()) * 2 < sum(before.values()):
        return ""
    rules = [rule for rule in MatchRule if before.get(rule) or after.get(rule)]
    now = ", ".join(f"by {_name(rule)} {after.get(rule, 0):,} ({before.get(rule, 0):,} before)" for rule in rules)
    return (
        f"People are matched {now}. LDAP_ANCHOR or MATCH_FALLBACK changed, or an attribute became readable or "
        "unreadable: `photo-connector check` shows which can be read."
    )


def count_rules(context: RunContext) -> dict[str, int]:
    """Return the number of matched people by the rule that found their account."""
    return count_match_rules(context.db)


def _name(rule: MatchRule) -> str:
    return {MatchRule.SID: "SID", MatchRule.UPN: "UPN"}.get(rule, rule.value)
