-- The versions of secrets that are looked after: where each stands, never what it holds.

CREATE TABLE secret_versions (
    environment TEXT NOT NULL CHECK (environment <> ''),
    binding     TEXT NOT NULL CHECK (binding <> ''),
    place       TEXT NOT NULL CHECK (place <> ''),
    version     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN (
        'staged', 'probing', 'active', 'draining', 'retired', 'refused')),
    created_at  BIGINT,
    changed_at  BIGINT NOT NULL,
    reason      TEXT,
    reminded    TEXT NOT NULL CHECK (reminded IN ('nothing', 'due', 'overdue')),
    ordinal     BIGINT NOT NULL,
    PRIMARY KEY (environment, binding, place, version)
);
-- Calls of a binding use one version.
CREATE UNIQUE INDEX secret_versions_one_active ON secret_versions (environment, binding) WHERE state = 'active';
