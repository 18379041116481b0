-- Who may do what: API keys, and what was done or denied.

CREATE TABLE api_keys (
    id         TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    -- The role with its scope, as JSON.
    role       TEXT NOT NULL,
    -- HMAC-SHA256 of the secret part, by the salt.
    salt       BLOB NOT NULL,
    mac        BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) WITHOUT ROWID;

-- Rises with every key that is made or revoked.
CREATE TABLE access_revision (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    revision INTEGER NOT NULL
);

INSERT INTO access_revision (only_one, revision) VALUES (1, 1);

-- Numbered in the order of their arrival.
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL,
    action  TEXT NOT NULL,
    target  TEXT NOT NULL,
    outcome TEXT NOT NULL,
    -- How often within the second.
    count   INTEGER NOT NULL
);
