"""Define the tables of the ledger, and the migrations from older versions."""

from __future__ import annotations

VERSION = 5

# Texts are never NULL: empty means unknown or none. Times are ISO 8601 with zone. `*_run` is a runs.id.
_UNCHANGED = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- An attribute whose known value a reading did not show, although nobody said that it was emptied: the value stands.
CREATE TABLE unread_values (
  person_id TEXT NOT NULL,
  attribute TEXT NOT NULL,
  run INTEGER NOT NULL,
  PRIMARY KEY (person_id, attribute)
) WITHOUT ROWID;

-- Who is to be looked at again next night, whatever else is as remembered: 1 postponed, 2 failed.
CREATE TABLE retries (
  target TEXT NOT NULL,
  person_id TEXT NOT NULL,
  retry INTEGER NOT NULL,
  PRIMARY KEY (target, person_id)
) WITHOUT ROWID;

CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  started TEXT NOT NULL,
  finished TEXT NOT NULL DEFAULT '',
  dry_run INTEGER NOT NULL,
  mode TEXT NOT NULL DEFAULT '',
  chosen INTEGER NOT NULL DEFAULT 0,
  exit_code INTEGER,
  message TEXT NOT NULL DEFAULT '',
  totals TEXT NOT NULL DEFAULT '{}',
  requests TEXT NOT NULL DEFAULT '{}',
  pace TEXT NOT NULL DEFAULT '{}',
  notices TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE placeholders (source_sha256 TEXT PRIMARY KEY) WITHOUT ROWID;
"""

# Tables with long rows are plain rowid tables: in a table WITHOUT ROWID, a row of more than about 1000 bytes takes
# overflow pages of its own (https://www.sqlite.org/fileformat2.html#representation_of_sql_tables).
_VERSION_5 = """
-- Each fingerprint once; `*_print` is its id. `hash` are the first 16 bytes of the sha256 of `packed`.
CREATE TABLE fingerprints (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,
  packed BLOB NOT NULL
);

CREATE TABLE people (
  id TEXT NOT NULL PRIMARY KEY,
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
  confirmed_account_id TEXT NOT NULL DEFAULT ''
);
CREATE INDEX people_anchor ON people (anchor) WHERE anchor <> '';
CREATE INDEX people_sid ON people (sid) WHERE sid <> '';
CREATE INDEX people_upn ON people (upn_key) WHERE upn_key <> '';
CREATE INDEX people_mail ON people (mail_key) WHERE mail_key <> '';
CREATE INDEX people_account ON people (account_id) WHERE account_id <> '';
CREATE INDEX people_context ON people (context, seen_run);
CREATE INDEX people_changed ON people (changed_run);

-- A value that is gone keeps its row (gone_run) until a night has passed its brakes: they count what vanished.
CREATE TABLE photos (
  person_id TEXT NOT NULL,
  attribute TEXT NOT NULL,
  source_sha256 TEXT NOT NULL,
  gone_run INTEGER,
  PRIMARY KEY (person_id, attribute, source_sha256)
) WITHOUT ROWID;
CREATE INDEX photos_source ON photos (source_sha256);
CREATE INDEX photos_gone ON photos (gone_run) WHERE gone_run IS NOT NULL;

CREATE TABLE pictures (
  source_sha256 TEXT NOT NULL PRIMARY KEY,
  refused TEXT NOT NULL,
  detail TEXT NOT NULL,
  recipe TEXT NOT NULL,
  sent_sha256 TEXT NOT NULL,
  sent_print INTEGER,
  whole_print INTEGER,
  centre_print INTEGER
);


CREATE TABLE accounts (
  id TEXT NOT NULL PRIMARY KEY,
  upn TEXT NOT NULL, upn_key TEXT NOT NULL,
  mail TEXT NOT NULL, mail_key TEXT NOT NULL,
  sam_account_name TEXT NOT NULL, sam_key TEXT NOT NULL,
  employee_id TEXT NOT NULL,
  immutable_id TEXT NOT NULL,
  sid TEXT NOT NULL,
  is_guest INTEGER NOT NULL,
  is_enabled INTEGER NOT NULL,
  is_synced INTEGER NOT NULL,
  has_exchange INTEGER NOT NULL,
  seen_run INTEGER NOT NULL,
  changed_run INTEGER NOT NULL
);
CREATE INDEX accounts_immutable ON accounts (immutable_id) WHERE immutable_id <> '';
CREATE INDEX accounts_sid ON accounts (sid) WHERE sid <> '';
CREATE INDEX accounts_upn ON accounts (upn_key) WHERE upn_key <> '';
CREATE INDEX accounts_mail ON accounts (mail_key) WHERE mail_key <> '';

CREATE TABLE photo_state (
  target TEXT NOT NULL,
  account_id TEXT NOT NULL,
  person_id TEXT NOT NULL,
  presence TEXT NOT NULL,
  source_sha256 TEXT NOT NULL,
  recipe TEXT NOT NULL,
  sent_sha256 TEXT NOT NULL,
  sent_print INTEGER,
  read_sha256 TEXT NOT NULL,
  read_print INTEGER,
  tag TEXT NOT NULL,
  conflict_policy TEXT NOT NULL,
  is_final INTEGER NOT NULL,
  restored INTEGER NOT NULL,
  improved_at TEXT NOT NULL,
  checked_at TEXT NOT NULL,
  run INTEGER NOT NULL,
  PRIMARY KEY (target, account_id)
);
CREATE INDEX photo_state_checked ON photo_state (target, checked_at);
CREATE INDEX photo_state_account ON photo_state (account_id);
CREATE INDEX photo_state_person ON photo_state (person_id);

CREATE TABLE intents (
  target TEXT NOT NULL,
  account_id TEXT NOT NULL,
  person_id TEXT NOT NULL,
  source_sha256 TEXT NOT NULL,
  sent_sha256 TEXT NOT NULL,
  sent_print INTEGER,
  tag_before TEXT NOT NULL,
  started_at TEXT NOT NULL,
  accepted_at TEXT NOT NULL,
  restores INTEGER NOT NULL,
  reason TEXT NOT NULL,
  recipe TEXT NOT NULL,
  run INTEGER NOT NULL,
  PRIMARY KEY (target, account_id)
) WITHOUT ROWID;

-- The service refused this person's photo for a reason that trying again does not mend (no mailbox, …).
CREATE TABLE refusals (
  target TEXT NOT NULL,
  account_id TEXT NOT NULL,
  source_sha256 TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  checked_at TEXT NOT NULL,
  PRIMARY KEY (target, account_id)
) WITHOUT ROWID;
CREATE INDEX refusals_account ON refusals (account_id);

CREATE TABLE cookies (
  context TEXT PRIMARY KEY,
  cookie BLOB NOT NULL,
  server TEXT NOT NULL,
  settings_fingerprint TEXT NOT NULL,
  run INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE outcomes (
  run INTEGER NOT NULL,
  target TEXT NOT NULL,
  person_id TEXT NOT NULL,
  name TEXT NOT NULL,
  upn TEXT NOT NULL,
  account_id TEXT NOT NULL,
  action TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  source_sha256 TEXT NOT NULL,
  conflict INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, target, person_id)
);
CREATE INDEX outcomes_person ON outcomes (person_id, run);

-- What stays true night after night is written once: it stands from one run until before another, in its own words,
-- so that an old run is told as it was.
CREATE TABLE standing_outcomes (
  person_id TEXT NOT NULL,
  target TEXT NOT NULL,
  first_run INTEGER NOT NULL,
  end_run INTEGER,
  name TEXT NOT NULL,
  upn TEXT NOT NULL,
  account_id TEXT NOT NULL,
  action TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  source_sha256 TEXT NOT NULL,
  conflict INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (person_id, target, first_run)
);
CREATE INDEX standing_outcomes_open ON standing_outcomes (end_run);

-- Every write to the cloud, with what it took the place of and what it left: enough to undo it.
CREATE TABLE writes (
  run INTEGER NOT NULL,
  target TEXT NOT NULL,
  account_id TEXT NOT NULL,
  person_id TEXT NOT NULL,
  action TEXT NOT NULL,
  written_at TEXT NOT NULL,
  before_sha256 TEXT NOT NULL,
  before_presence TEXT NOT NULL,
  sent_sha256 TEXT NOT NULL,
  sent_print INTEGER,
  left_tag TEXT NOT NULL DEFAULT '',
  left_sha256 TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (run, target, account_id)
);
CREATE INDEX writes_person ON writes (person_id, run);
CREATE INDEX writes_account ON writes (account_id, written_at);
CREATE INDEX writes_before ON writes (before_sha256) WHERE before_sha256 <> '';
"""

SCHEMA = _UNCHANGED + _VERSION_5

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

# Version 2 kept names with ß as ss, and the Kelvin sign as k, so that they were other people's names.
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
{_VERSION_5}
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

# MIGRATIONS[n] brings a ledger of version n to n + 1, for good: what it says is never changed later.
MIGRATIONS: dict[int, str] = {1: _RETRY_BY_TARGET, 2: _NAMES_BY_LETTER, 3: _UNREAD, 4: _LIGHTER}
