-- Providers and workloads are objects; grants; tickets.

-- SQLite cannot change a CHECK, so the table is made anew within this one transaction: the references
-- to its rows are judged when it commits, and by then every row is back under its id.
PRAGMA defer_foreign_keys = ON;
CREATE TABLE objects_before AS SELECT id, kind, environment, name FROM objects;
DROP TABLE objects;
CREATE TABLE objects (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL CHECK (kind IN (
        'Environment', 'Server', 'Provider', 'Workload', 'Agent', 'Policy', 'Binding')),
    environment TEXT CHECK (environment <> ''),
    name        TEXT NOT NULL CHECK (name <> ''),
    CHECK ((kind IN ('Environment', 'Workload', 'Agent')) = (environment IS NULL)),
    UNIQUE (id, kind),
    UNIQUE (id, kind, environment)
);
INSERT INTO objects (id, kind, environment, name)
SELECT id, kind, environment, name FROM objects_before ORDER BY id;
DROP TABLE objects_before;
CREATE UNIQUE INDEX objects_key ON objects (kind, COALESCE(environment, ''), name);
CREATE TRIGGER objects_stay BEFORE DELETE ON objects
BEGIN SELECT RAISE(ABORT, 'objects are never deleted'); END;

CREATE TABLE grants (
    id          TEXT PRIMARY KEY CHECK (id <> ''),
    environment TEXT NOT NULL CHECK (environment <> ''),
    provider    TEXT NOT NULL CHECK (provider <> ''),
    user_id     TEXT NOT NULL CHECK (user_id <> ''),
    account     TEXT,
    scopes      TEXT NOT NULL,
    reference   TEXT NOT NULL CHECK (reference <> ''),
    created_at  BIGINT NOT NULL,
    ended_at    BIGINT,
    end_reason  TEXT CHECK (end_reason IN ('revoked', 'refused', 'replaced', 'interrupted')),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
-- A user has one living grant per environment and provider.
CREATE UNIQUE INDEX grants_one_living ON grants (environment, provider, user_id) WHERE ended_at IS NULL;
CREATE INDEX grants_ended ON grants (ended_at);

CREATE TRIGGER living_grants_stay BEFORE DELETE ON grants WHEN OLD.ended_at IS NULL
BEGIN SELECT RAISE(ABORT, 'a living grant is ended, not deleted'); END;

CREATE TRIGGER ended_grants_stay_ended BEFORE UPDATE OF ended_at, end_reason ON grants
WHEN OLD.ended_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an ended grant stays ended'); END;

CREATE TRIGGER grants_keep_their_content
BEFORE UPDATE OF id, environment, provider, user_id, account, scopes, reference, created_at ON grants
BEGIN SELECT RAISE(ABORT, 'the content of a grant never changes'); END;

-- Short-lived records that the replicas share. They move no epoch and hold no secret.
CREATE TABLE tickets (
    kind       TEXT NOT NULL,
    key        TEXT NOT NULL CHECK (key <> ''),
    content    TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX tickets_expiry ON tickets (expires_at);
