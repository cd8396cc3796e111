"""Bring ledgers of older versions forward, one version a script."""

from __future__ import annotations

from connector.ledger import coverage, memberships
from connector.ledger.schema import FEWER_INDEXES, PLANS, RECIPIENT_TYPES, RUN_FINDINGS, VERSION_5_TABLES

# Version 1 noted a retry per person, so that a success in one target ended the retry of a failure in another. What it
# noted is taken to be about every target that told of the person. The table is made anew, since SQLite before 3.35
# drops no column.
_RETRY_BY_TARGET = """
CREATE TABLE retries (
  target TEXT NOT NULL,
  person_id TEXT NOT NULL,
  retry INTEGER NOT NULL,
  PRIMARY KEY (target, person_id)
) WITHOUT ROWID;
INSERT INTO retries SELECT DISTINCT o.target, p.id, p.retry FROM people p JOIN outcomes o ON o.person_id = p.id
  WHERE p.retry > 0;
ALTER TABLE people RENAME TO people_1;
CREATE TABLE people (
  id TEXT PRIMARY KEY,
  context TEXT NOT NULL,
  name TEXT NOT NULL,
  upn TEXT NOT NULL, upn_key TEXT NOT NULL,
  mail TEXT NOT NULL, mail_key TEXT NOT NULL,
  sam_account_name TEXT NOT NULL, sam_key TEXT NOT NULL,
  employee_id TEXT NOT NULL,
  sid TEXT NOT NULL,
  anchor TEXT NOT NULL,
  is_contact INTEGER NOT NULL,
  state TEXT NOT NULL,
  seen_run INTEGER NOT NULL,
  changed_run INTEGER NOT NULL,
  source_sha256 TEXT NOT NULL DEFAULT '',
  source_reason TEXT NOT NULL DEFAULT '',
  account_id TEXT NOT NULL DEFAULT '',
  match_rule TEXT NOT NULL DEFAULT '',
  match_problem TEXT NOT NULL DEFAULT '',
  settled_account_id TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
INSERT INTO people SELECT id, context, name, upn, upn_key, mail, mail_key, sam_account_name, sam_key, employee_id, sid,
  anchor, is_contact, state, seen_run, changed_run, source_sha256, source_reason, account_id, match_rule,
  match_problem, settled_account_id FROM people_1;
DROP TABLE people_1;
CREATE INDEX people_anchor ON people (anchor) WHERE anchor <> '';
CREATE INDEX people_sid ON people (sid) WHERE sid <> '';
CREATE INDEX people_upn ON people (upn_key) WHERE upn_key <> '';
CREATE INDEX people_mail ON people (mail_key) WHERE mail_key <> '';
CREATE INDEX people_account ON people (account_id) WHERE account_id <> '';
CREATE INDEX people_context ON people (context, seen_run);
CREATE INDEX people_changed ON people (changed_run);
"""

# Version 2 kept names with ß as ss, and the Kelvin sign as k, which made them equal to other people's names.
_NAMES_BY_LETTER = """
UPDATE people SET upn_key = fold(upn), mail_key = fold(mail), sam_key = fold(sam_account_name);
UPDATE accounts SET upn_key = fold(upn), mail_key = fold(mail), sam_key = fold(sam_account_name);
"""

# Version 3 noted nothing of what a reading merely did not show.
_UNREAD = """
CREATE TABLE unread_values (
  person_id TEXT NOT NULL,
  attribute TEXT NOT NULL,
  run INTEGER NOT NULL,
  PRIMARY KEY (person_id, attribute)
) WITHOUT ROWID;
"""

# Version 4 kept each fingerprint up to four times, in rows so long that two thirds of the file were empty overflow
# pages.
# `memory.policy` said under which SYNC_CONFLICT a conflict was kept; a mark of older versions, `kept`, is read as the
# policy that keeps conflicts.
_LIGHTER = f"""
DROP INDEX people_anchor;
DROP INDEX people_sid;
DROP INDEX people_upn;
DROP INDEX people_mail;
DROP INDEX people_account;
DROP INDEX people_context;
DROP INDEX people_changed;
DROP INDEX photos_source;
DROP INDEX photos_gone;
DROP INDEX accounts_immutable;
DROP INDEX accounts_sid;
DROP INDEX accounts_upn;
DROP INDEX accounts_mail;
DROP INDEX memory_looked;
DROP INDEX memory_account;
DROP INDEX memory_person;
DROP INDEX refusals_account;
DROP INDEX outcomes_person;
DROP INDEX standing_open;
DROP INDEX writes_person;
DROP INDEX writes_account;
DROP INDEX writes_before;
ALTER TABLE people RENAME TO people_4;
ALTER TABLE photos RENAME TO photos_4;
ALTER TABLE pictures RENAME TO pictures_4;
ALTER TABLE accounts RENAME TO accounts_4;
ALTER TABLE memory RENAME TO memory_4;
ALTER TABLE intents RENAME TO intents_4;
ALTER TABLE refusals RENAME TO refusals_4;
ALTER TABLE cookies RENAME TO cookies_4;
ALTER TABLE outcomes RENAME TO outcomes_4;
ALTER TABLE standing RENAME TO standing_4;
ALTER TABLE writes RENAME TO writes_4;
{VERSION_5_TABLES}
INSERT OR IGNORE INTO fingerprints (hash, packed)
  SELECT print_hash(packed), packed FROM (
    SELECT sent_print AS packed FROM pictures_4 WHERE sent_print IS NOT NULL
    UNION ALL SELECT whole_print AS packed FROM pictures_4 WHERE whole_print IS NOT NULL
    UNION ALL SELECT sent_print AS packed FROM memory_4 WHERE sent_print IS NOT NULL
    UNION ALL SELECT read_print AS packed FROM memory_4 WHERE read_print IS NOT NULL
    UNION ALL SELECT sent_print AS packed FROM intents_4 WHERE sent_print IS NOT NULL
    UNION ALL SELECT sent_print AS packed FROM writes_4 WHERE sent_print IS NOT NULL);
INSERT INTO people (
  id, context, name, upn, upn_key, mail, mail_key, sam_account_name, sam_key, employee_id, sid, anchor,
  is_contact, state, seen_run, changed_run, source_sha256, source_reason, account_id, match_rule, match_problem,
  confirmed_account_id
) SELECT
  id, context, name, upn, upn_key, mail, mail_key, sam_account_name, sam_key, employee_id, sid, anchor,
  is_contact, state, seen_run, changed_run, source_sha256, source_reason, account_id, match_rule, match_problem,
  settled_account_id
  FROM people_4;
INSERT INTO photos (
  person_id, attribute, source_sha256, gone_run
) SELECT
  person_id, attribute, source_sha256, gone_run
  FROM photos_4;
INSERT INTO pictures (
  source_sha256, refused, detail, recipe, sent_sha256, sent_print, whole_print
) SELECT
  source_sha256, refused, detail, recipe, sent_sha256, (SELECT id FROM fingerprints WHERE hash =
  print_hash(sent_print)), (SELECT id FROM fingerprints WHERE hash = print_hash(whole_print))
  FROM pictures_4;
INSERT INTO accounts (
  id, upn, upn_key, mail, mail_key, sam_account_name, sam_key, employee_id, immutable_id, sid, is_guest,
  is_enabled, is_synced, has_exchange, seen_run, changed_run
) SELECT
  id, upn, upn_key, mail, mail_key, sam_account_name, sam_key, employee_id, immutable_id, sid, is_guest,
  is_enabled, is_synced, has_exchange, seen_run, changed_run
  FROM accounts_4;
INSERT INTO photo_state (
  target, account_id, person_id, presence, source_sha256, recipe, sent_sha256, sent_print, read_sha256,
  read_print, tag, conflict_policy, is_final, restored, improved_at, checked_at, run
) SELECT
  target, account_id, person_id, presence, source_sha256, recipe, sent_sha256, (SELECT id FROM fingerprints
  WHERE hash = print_hash(sent_print)), read_sha256, (SELECT id FROM fingerprints WHERE hash =
  print_hash(read_print)), tag, CASE policy WHEN 'kept' THEN 'cloud' ELSE policy END, 0, restored, improved_at,
  looked_at, run
  FROM memory_4;
INSERT INTO intents (
  target, account_id, person_id, source_sha256, sent_sha256, sent_print, tag_before, started_at, accepted_at,
  restores, reason, recipe, run
) SELECT
  target, account_id, person_id, source_sha256, sent_sha256, (SELECT id FROM fingerprints WHERE hash =
  print_hash(sent_print)), tag_before, started_at, accepted_at, restores, reason, recipe, run
  FROM intents_4;
INSERT INTO refusals (
  target, account_id, source_sha256, reason, detail, checked_at
) SELECT
  target, account_id, source_sha256, reason, detail, looked_at
  FROM refusals_4;
INSERT INTO cookies (
  context, cookie, server, settings_fingerprint, run
) SELECT
  context, cookie, server, shape, run
  FROM cookies_4;
INSERT INTO outcomes (
  run, target, person_id, name, upn, account_id, action, reason, detail, source_sha256, conflict
) SELECT
  run, target, person_id, name, upn, account_id, action, reason, detail, source_sha256, conflict
  FROM outcomes_4;
INSERT INTO standing_outcomes (
  person_id, target, first_run, end_run, name, upn, account_id, action, reason, detail, source_sha256, conflict
) SELECT
  person_id, target, from_run, until_run, name, upn, account_id, action, reason, detail, source_sha256, conflict
  FROM standing_4;
INSERT INTO writes (
  run, target, account_id, person_id, action, written_at, before_sha256, before_presence, sent_sha256,
  sent_print, left_tag, left_sha256
) SELECT
  run, target, account_id, person_id, action, written_at, before_sha256, before_presence, sent_sha256, (SELECT
  id FROM fingerprints WHERE hash = print_hash(sent_print)), left_tag, left_sha256
  FROM writes_4;
DROP TABLE people_4;
DROP TABLE photos_4;
DROP TABLE pictures_4;
DROP TABLE accounts_4;
DROP TABLE memory_4;
DROP TABLE intents_4;
DROP TABLE refusals_4;
DROP TABLE cookies_4;
DROP TABLE outcomes_4;
DROP TABLE standing_4;
DROP TABLE writes_4;
"""

# Version 6 kept nothing of the writes that a safety limit held.
_HELD = """
CREATE TABLE plans (
  run INTEGER NOT NULL,
  target TEXT NOT NULL,
  person_id TEXT NOT NULL,
  action TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (run, target, person_id)
) WITHOUT ROWID;
CREATE INDEX plans_person ON plans (person_id);
"""

# Version 8 kept no plan of a dry run, and of others not what had been seen: those older plans cannot be approved.
_SEEN = f"""
DROP INDEX plans_person;
ALTER TABLE plans RENAME TO plans_8;
{PLANS}
INSERT INTO plans (run, target, person_id, action, reason)
  SELECT run, target, person_id, action, reason FROM plans_8;
DROP TABLE plans_8;
"""

# Version 11 had only the outcomes of these people, with this detail. What a safety limit found is not known of older
# runs: their message stands as it was.
_FINDINGS = f"""
{RUN_FINDINGS}
UPDATE runs SET sent_elsewhere = (SELECT COUNT(DISTINCT person_id) FROM outcomes o WHERE o.run = runs.id
  AND o.reason = 'adopted'
  AND o.detail = 'The source''s new photo was in Microsoft 365 already; this server had not sent it.');
"""

# MIGRATIONS[n] brings a ledger of version n to n + 1, for good: what it says is never changed later.
MIGRATIONS: dict[int, str] = {
    1: _RETRY_BY_TARGET,
    2: _NAMES_BY_LETTER,
    3: _UNREAD,
    4: _LIGHTER,
    5: coverage.MIGRATION,
    6: _HELD,
    7: memberships.TABLES,
    8: _SEEN,
    9: RECIPIENT_TYPES,
    10: FEWER_INDEXES,
    11: _FINDINGS,
}
