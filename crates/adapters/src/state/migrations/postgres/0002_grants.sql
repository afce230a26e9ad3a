-- Providers and workloads are objects; grants; tickets.

ALTER TABLE objects DROP CONSTRAINT objects_kind_check;
ALTER TABLE objects DROP CONSTRAINT objects_check;
ALTER TABLE objects ADD CONSTRAINT objects_kind_check CHECK (kind IN (
    'Environment', 'Server', 'Provider', 'Workload', 'Agent', 'Policy', 'Binding'));
ALTER TABLE objects ADD CONSTRAINT objects_check
    CHECK ((kind IN ('Environment', 'Workload', 'Agent')) = (environment IS NULL));

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

CREATE TRIGGER living_grants_stay BEFORE DELETE ON grants
FOR EACH ROW WHEN (OLD.ended_at IS NULL)
EXECUTE FUNCTION state_refuse('a living grant is ended, not deleted');

CREATE TRIGGER ended_grants_stay_ended BEFORE UPDATE OF ended_at, end_reason ON grants
FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL)
EXECUTE FUNCTION state_refuse('an ended grant stays ended');

CREATE TRIGGER grants_keep_their_content
BEFORE UPDATE OF id, environment, provider, user_id, account, scopes, reference, created_at ON grants
FOR EACH ROW EXECUTE FUNCTION state_refuse('the content of a grant never changes');

-- Short-lived records that the replicas share. They move no epoch and hold no secret.
CREATE TABLE tickets (
    kind       TEXT NOT NULL,
    key        TEXT NOT NULL CHECK (key <> ''),
    content    TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX tickets_expiry ON tickets (expires_at);
