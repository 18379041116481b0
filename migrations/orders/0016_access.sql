-- Who may do what: API keys, and what was done or denied.

CREATE TABLE api_keys (
    id         text COLLATE "C" PRIMARY KEY,
    name       text NOT NULL,
    -- The role with its scope.
    role       json NOT NULL,
    -- HMAC-SHA256 of the secret part, by the salt.
    salt       bytea NOT NULL,
    mac        bytea NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

-- Rises with every key that is made or revoked, so that replicas know when to forget what they have read.
CREATE TABLE access_revision (
    one_row  boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    revision bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO access_revision (revision) VALUES (1);

-- Numbered in the order of their arrival.
CREATE TABLE audit (
    number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL,
    who     text NOT NULL,
    action  text NOT NULL,
    target  text NOT NULL,
    outcome text NOT NULL,
    -- How often within the second.
    count   integer NOT NULL
);
