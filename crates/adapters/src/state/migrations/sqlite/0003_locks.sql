-- Locks: time-limited emergency stops. Rows are never deleted: an id is never used again.

CREATE TABLE locks (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    selector   TEXT NOT NULL CHECK (selector NOT IN ('', '{}')),
    reason     TEXT NOT NULL CHECK (reason <> ''),
    author     TEXT NOT NULL CHECK (author <> ''),
    created_at BIGINT NOT NULL,
    until_at   BIGINT NOT NULL,
    ended_at   BIGINT,
    ended_by   TEXT,
    -- 30 days, in microseconds.
    CHECK (until_at > created_at AND until_at - created_at <= 2592000000000),
    CHECK (ended_by IS NULL OR ended_at IS NOT NULL)
);
CREATE INDEX locks_ended ON locks (ended_at);

CREATE TRIGGER locks_stay BEFORE DELETE ON locks
BEGIN SELECT RAISE(ABORT, 'locks are never deleted'); END;

CREATE TRIGGER ended_locks_stay_ended BEFORE UPDATE OF ended_at, ended_by ON locks
WHEN OLD.ended_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an ended lock stays ended'); END;

CREATE TRIGGER locks_keep_their_content
BEFORE UPDATE OF id, selector, reason, author, created_at, until_at ON locks
BEGIN SELECT RAISE(ABORT, 'the content of a lock never changes'); END;
