"""Define the tables of the ledger."""

from __future__ import annotations

from connector.ledger import coverage, memberships

VERSION = 12

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
VERSION_5_TABLES = """
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


# The writes that a dry run planned or that a safety limit held: what each would have been, and what was seen of it
# then. `tag` is empty where the cloud had no photo. `run_plans` has a row for each plan that can be approved.
PLANS = """
CREATE TABLE plans (
  run INTEGER NOT NULL,
  target TEXT NOT NULL,
  person_id TEXT NOT NULL,
  action TEXT NOT NULL,
  reason TEXT NOT NULL,
  account_id TEXT NOT NULL DEFAULT '',
  source_sha256 TEXT NOT NULL DEFAULT '',
  tag TEXT NOT NULL DEFAULT '',
  over_foreign INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, target, person_id)
) WITHOUT ROWID;
CREATE INDEX plans_person ON plans (person_id);

-- `limits` are the safety limits that the plan tripped, with their counts, and `options` those of its run, as JSON.
CREATE TABLE run_plans (run INTEGER PRIMARY KEY, limits TEXT NOT NULL, options TEXT NOT NULL);

-- Runs that carried out the plan of another run.
CREATE TABLE approvals (run INTEGER PRIMARY KEY, plan_run INTEGER NOT NULL);
"""

# What the directory last showed as the Exchange recipient type of a person, where LDAP_INCLUDE asks for it.
RECIPIENT_TYPES = """
CREATE TABLE recipient_types (person_id TEXT PRIMARY KEY, type TEXT NOT NULL) WITHOUT ROWID;
CREATE TRIGGER recipient_types_gone AFTER DELETE ON people BEGIN
  DELETE FROM recipient_types WHERE person_id = OLD.id;
END;
"""

# An index of 80 bytes a person for one question of `--full` and `--resend`, which groups the writes instead.
FEWER_INDEXES = "DROP INDEX writes_account;\n"

# What a safety limit found: the limits, as JSON, and the end of `message` that says what to do about them; and how many
# changed photos the cloud showed before this server had sent them.
RUN_FINDINGS = """
ALTER TABLE runs ADD COLUMN advice TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN exceeded TEXT NOT NULL DEFAULT '[]';
ALTER TABLE runs ADD COLUMN sent_elsewhere INTEGER NOT NULL DEFAULT 0;
"""

SCHEMA = _UNCHANGED + VERSION_5_TABLES + coverage.TABLES + PLANS + memberships.TABLES + RECIPIENT_TYPES + FEWER_INDEXES
SCHEMA += RUN_FINDINGS
