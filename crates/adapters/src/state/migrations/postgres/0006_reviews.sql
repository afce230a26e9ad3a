-- Reviews of bindings: who looked last, who has signed, what people were told. Never what a secret holds.

CREATE TABLE binding_reviews (
    environment TEXT NOT NULL CHECK (environment <> ''),
    binding     TEXT NOT NULL CHECK (binding <> ''),
    content     TEXT NOT NULL CHECK (content <> ''),
    PRIMARY KEY (environment, binding)
);
