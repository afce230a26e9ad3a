-- Revocations: what goes back to outside parties, and the signed documents. They move no epoch.

-- Holds no token: one that has to outlive the process waits in a secret store, and its place stands here.
CREATE TABLE outside_returns (
    id         TEXT PRIMARY KEY CHECK (id <> ''),
    revocation TEXT,
    state      TEXT NOT NULL CHECK (state IN ('ended', 'refused', 'unanswered', 'irrevocable', 'expired')),
    filed_at   BIGINT NOT NULL,
    due_at     BIGINT,
    content    TEXT NOT NULL
);
CREATE INDEX outside_returns_due ON outside_returns (due_at);
CREATE INDEX outside_returns_revocation ON outside_returns (revocation);

CREATE TABLE revocations (
    id           TEXT NOT NULL CHECK (id <> ''),
    serial       BIGINT NOT NULL CHECK (serial BETWEEN 1 AND 4294967295),
    status       TEXT NOT NULL CHECK (status IN ('complete', 'outstanding')),
    requested_at BIGINT NOT NULL,
    document     TEXT NOT NULL CHECK (document <> ''),
    PRIMARY KEY (id, serial)
);

CREATE TRIGGER revocations_stay BEFORE DELETE ON revocations
FOR EACH ROW EXECUTE FUNCTION state_refuse('a document of a revocation is never deleted');

CREATE TRIGGER revocations_keep_their_content BEFORE UPDATE ON revocations
FOR EACH ROW EXECUTE FUNCTION state_refuse('a document of a revocation never changes');
