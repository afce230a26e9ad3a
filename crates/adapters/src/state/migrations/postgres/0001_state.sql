-- The state: revisions of objects, tokens, an outbox, and one epoch that moves with every change.
-- Points in time are microseconds since the Unix epoch; documents are JSON text; flags are 0 or 1.

CREATE TABLE state_epoch (
    one   BIGINT PRIMARY KEY CHECK (one = 1),
    epoch BIGINT NOT NULL CHECK (epoch >= 0)
);
INSERT INTO state_epoch (one, epoch) VALUES (1, 0);

-- One row for ever per object: an identity never hands out an id twice, and no row is deleted.
CREATE TABLE objects (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('Environment', 'Server', 'Agent', 'Policy', 'Binding')),
    environment TEXT CHECK (environment <> ''),
    name        TEXT NOT NULL CHECK (name <> ''),
    CHECK ((kind IN ('Environment', 'Agent')) = (environment IS NULL)),
    UNIQUE (id, kind),
    UNIQUE (id, kind, environment)
);
CREATE UNIQUE INDEX objects_key ON objects (kind, COALESCE(environment, ''), name);

CREATE TABLE revisions (
    object_id          BIGINT NOT NULL REFERENCES objects (id),
    kind               TEXT NOT NULL,
    environment        TEXT,
    revision           BIGINT NOT NULL CHECK (revision BETWEEN 1 AND 4294967295),
    spec               TEXT NOT NULL,
    content            TEXT NOT NULL CHECK (length(content) = 64),
    status             TEXT NOT NULL CHECK (status IN (
        'draft', 'pending', 'active', 'disabled', 'expired', 'revoked', 'superseded', 'withdrawn')),
    author             TEXT NOT NULL,
    created_at         BIGINT NOT NULL,
    changed_at         BIGINT NOT NULL,
    pins               TEXT,
    -- The server a binding opens: an object of kind Server in the binding's own environment.
    server_id          BIGINT,
    server_kind        TEXT,
    server_environment TEXT,
    PRIMARY KEY (object_id, revision),
    UNIQUE (object_id, revision, author),
    CHECK (pins IS NULL OR kind = 'Binding'),
    CHECK ((kind = 'Binding') = (server_id IS NOT NULL)),
    CHECK ((server_id IS NULL) = (server_kind IS NULL)),
    CHECK ((server_id IS NULL) = (server_environment IS NULL)),
    CHECK (server_kind IS NULL OR server_kind = 'Server'),
    CHECK (server_environment IS NULL OR (environment IS NOT NULL AND server_environment = environment)),
    FOREIGN KEY (object_id, kind) REFERENCES objects (id, kind),
    FOREIGN KEY (object_id, kind, environment) REFERENCES objects (id, kind, environment),
    FOREIGN KEY (server_id, server_kind, server_environment) REFERENCES objects (id, kind, environment)
);
-- At most one revision of an object decides, or would if it were not disabled.
CREATE UNIQUE INDEX revisions_one_standing ON revisions (object_id) WHERE status IN ('active', 'disabled');

CREATE TABLE approvals (
    ordinal    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    object_id  BIGINT NOT NULL,
    revision   BIGINT NOT NULL,
    author     TEXT NOT NULL,
    approver   TEXT NOT NULL,
    capacities TEXT NOT NULL,
    signed_at  BIGINT NOT NULL,
    CHECK (approver <> author),
    FOREIGN KEY (object_id, revision, author) REFERENCES revisions (object_id, revision, author)
);
CREATE INDEX approvals_revision ON approvals (object_id, revision);

CREATE TABLE agent_tokens (
    id         TEXT PRIMARY KEY,
    digest     TEXT NOT NULL UNIQUE CHECK (length(digest) = 64),
    agent      TEXT NOT NULL,
    entries    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    issued_by  TEXT NOT NULL,
    CHECK (expires_at > created_at)
);

CREATE TABLE operator_tokens (
    id         TEXT PRIMARY KEY,
    digest     TEXT NOT NULL UNIQUE CHECK (length(digest) = 64),
    operator   TEXT NOT NULL,
    roles      TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    bootstrap  BIGINT NOT NULL CHECK (bootstrap IN (0, 1)),
    ended_at   BIGINT
);

CREATE TABLE outbox (
    ordinal BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    event   TEXT NOT NULL
);

CREATE FUNCTION state_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'check_violation';
END;
$$;

CREATE FUNCTION state_refuse_revoked_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM revisions WHERE object_id = NEW.object_id AND status = 'revoked') THEN
        RAISE EXCEPTION USING
            MESSAGE = 'a revoked name never gets a new revision', ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER objects_stay BEFORE DELETE ON objects
FOR EACH ROW EXECUTE FUNCTION state_refuse('objects are never deleted');

CREATE TRIGGER revisions_stay BEFORE DELETE ON revisions
FOR EACH ROW EXECUTE FUNCTION state_refuse('revisions are never deleted');

CREATE TRIGGER revoked_names_stay_refused BEFORE INSERT ON revisions
FOR EACH ROW EXECUTE FUNCTION state_refuse_revoked_name();

CREATE TRIGGER revoked_is_final BEFORE UPDATE OF status ON revisions
FOR EACH ROW WHEN (OLD.status = 'revoked' AND NEW.status <> 'revoked')
EXECUTE FUNCTION state_refuse('a revoked revision stays revoked');

CREATE TRIGGER revisions_keep_their_content
BEFORE UPDATE OF object_id, kind, environment, revision, spec, content, author, created_at,
    server_id, server_kind, server_environment ON revisions
FOR EACH ROW EXECUTE FUNCTION state_refuse('the content of a revision never changes');
