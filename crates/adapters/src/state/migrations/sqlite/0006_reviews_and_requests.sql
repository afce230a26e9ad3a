-- Reviews of bindings: who looked last, who has signed, what people were told. Never what a secret holds.

CREATE TABLE binding_reviews (
    environment TEXT NOT NULL CHECK (environment <> ''),
    binding     TEXT NOT NULL CHECK (binding <> ''),
    content     TEXT NOT NULL CHECK (content <> ''),
    PRIMARY KEY (environment, binding)
);

-- Revocations that were decided and have no signed document yet: what a crash left is gone on with from here.
CREATE TABLE revocation_requests (
    id           TEXT PRIMARY KEY CHECK (id <> ''),
    requested_at BIGINT NOT NULL,
    content      TEXT NOT NULL CHECK (content <> '')
);
