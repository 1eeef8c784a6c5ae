-- Version 3. Who administers (identities, their grants and API keys), what two people must agree on (approvals), adapters that
-- change and can be deleted, rules for certificates of any authority, who was seen when, and material that outlives the
-- destruction of its object for a while.

-- An adapter that is deleted keeps its row, because its objects keep theirs: they are destroyed one batch after the other, and
-- until the last one is, its name is not free. `hold_seconds` is how long the material of a destroyed object is held.
CREATE TABLE adapter_with_state (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    name TEXT NOT NULL,
    description TEXT,
    root_key BLOB NOT NULL CHECK (length(root_key) = 16),
    username TEXT,
    password_hash TEXT,
    created_at INTEGER NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    changed_at INTEGER NOT NULL,
    hold_seconds INTEGER NOT NULL CHECK (hold_seconds >= 0),
    -- 1 live, 2 deleted, 3 gone
    state INTEGER NOT NULL CHECK (state IN (1, 2, 3)),
    deleted_at INTEGER,
    CHECK ((username IS NULL) = (password_hash IS NULL)),
    CHECK ((state = 1) = (deleted_at IS NULL))
) STRICT;

INSERT INTO adapter_with_state (seq, id, name, description, root_key, username, password_hash, created_at, revision,
                                changed_at, hold_seconds, state, deleted_at)
SELECT seq, id, name, description, root_key, username, password_hash, created_at, 1, created_at, 0, 1, NULL
FROM adapter ORDER BY seq;

DROP TABLE adapter;
ALTER TABLE adapter_with_state RENAME TO adapter;

CREATE UNIQUE INDEX adapter_by_name ON adapter (name) WHERE state <> 3;

-- How many objects each adapter has: what would otherwise be counted anew for every list of adapters.
CREATE TABLE object_count (
    adapter INTEGER PRIMARY KEY REFERENCES adapter (seq),
    live INTEGER NOT NULL CHECK (live >= 0),
    destroyed INTEGER NOT NULL CHECK (destroyed >= 0)
) STRICT;

INSERT INTO object_count (adapter, live, destroyed)
SELECT a.seq, (SELECT count(*) FROM object AS o WHERE o.adapter = a.seq AND o.destroyed = 0),
       (SELECT count(*) FROM object AS o WHERE o.adapter = a.seq AND o.destroyed = 1)
FROM adapter AS a ORDER BY a.seq;

-- Certificates of other people's authorities that rules may name.
CREATE TABLE authority (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint BLOB NOT NULL UNIQUE CHECK (length(fingerprint) = 32),
    name TEXT NOT NULL,
    der BLOB NOT NULL,
    added_at INTEGER NOT NULL
) STRICT;

-- A rule maps what an authority wrote into a certificate to an adapter. Without an issuer it is about the own authority.
CREATE TABLE ca_rule_of_issuer (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    adapter INTEGER NOT NULL REFERENCES adapter (seq),
    issuer INTEGER REFERENCES authority (seq),
    -- 1 common name, 2 whole subject, 3 DNS name, 4 URI, 5 e-mail address
    kind INTEGER NOT NULL CHECK (kind IN (1, 2, 3, 4, 5)),
    value TEXT NOT NULL,
    added_at INTEGER NOT NULL
) STRICT;

INSERT INTO ca_rule_of_issuer (seq, id, adapter, issuer, kind, value, added_at)
SELECT seq, id, adapter, NULL, 1, common_name, added_at FROM ca_rule ORDER BY seq;

DROP TABLE ca_rule;
ALTER TABLE ca_rule_of_issuer RENAME TO ca_rule;

CREATE UNIQUE INDEX ca_rule_by_value ON ca_rule (coalesce(issuer, 0), kind, value);
CREATE INDEX ca_rule_of_adapter ON ca_rule (adapter);

-- When a certificate was last used to connect, and from where. It changes all the time and decides nothing, so it is apart
-- from what does, and does not move trust.generation on.
CREATE TABLE certificate_seen (
    adapter INTEGER NOT NULL REFERENCES adapter (seq),
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    subject TEXT NOT NULL,
    expires_at INTEGER,
    at INTEGER NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (adapter, fingerprint)
) STRICT, WITHOUT ROWID;

-- When an object was last used, and by whose certificate.
CREATE TABLE object_seen (
    object INTEGER PRIMARY KEY REFERENCES object (seq),
    at INTEGER NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32)
) STRICT;

-- Objects that were destroyed and whose material is kept until a time, with what they were before.
CREATE TABLE held (
    object INTEGER PRIMARY KEY REFERENCES object (seq),
    adapter INTEGER NOT NULL REFERENCES adapter (seq),
    until INTEGER NOT NULL,
    material INTEGER REFERENCES material (seq),
    due_at INTEGER,
    entries BLOB NOT NULL,
    metadata BLOB NOT NULL
) STRICT;

CREATE INDEX held_until ON held (until);
CREATE INDEX held_of_adapter ON held (adapter);

-- Who administers.
CREATE TABLE identity (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    kind TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    fingerprint BLOB UNIQUE CHECK (length(fingerprint) = 32),
    der BLOB,
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    revision INTEGER NOT NULL CHECK (revision > 0),
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    created_by BLOB CHECK (length(created_by) = 16),
    CHECK ((fingerprint IS NULL) = (der IS NULL))
) STRICT;

-- Without an adapter a role is for everything.
CREATE TABLE identity_grant (
    seq INTEGER PRIMARY KEY,
    identity INTEGER NOT NULL REFERENCES identity (seq),
    role TEXT NOT NULL,
    adapter INTEGER REFERENCES adapter (seq)
) STRICT;

CREATE UNIQUE INDEX identity_grant_once ON identity_grant (identity, role, coalesce(adapter, 0));
CREATE INDEX identity_grant_of_adapter ON identity_grant (adapter) WHERE adapter IS NOT NULL;

CREATE TABLE api_key (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    identity INTEGER NOT NULL REFERENCES identity (seq),
    name TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    single_use INTEGER NOT NULL CHECK (single_use IN (0, 1)),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    used_at INTEGER
) STRICT;

CREATE INDEX api_key_of_identity ON api_key (identity);

-- What one person asks for and another decides. Identities may be deleted; who asked and who decided stays.
CREATE TABLE approval (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    parameters TEXT NOT NULL,
    impact TEXT NOT NULL,
    reason TEXT NOT NULL,
    requested_by BLOB NOT NULL CHECK (length(requested_by) = 16),
    requested_name TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_by BLOB CHECK (length(decided_by) = 16),
    decided_name TEXT,
    decided_at INTEGER,
    hold_until INTEGER,
    -- 1 pending, 2 approved, 3 executing, 4 done, 5 failed, 6 rejected, 7 cancelled, 8 expired
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 8),
    outcome TEXT,
    finished_at INTEGER,
    revision INTEGER NOT NULL CHECK (revision > 0),
    CHECK ((decided_by IS NULL) = (decided_name IS NULL) AND (decided_by IS NULL) = (decided_at IS NULL)),
    CHECK (decided_by IS NULL OR decided_by <> requested_by),
    CHECK (state NOT IN (2, 3, 4, 5) OR (decided_by IS NOT NULL AND hold_until IS NOT NULL)),
    CHECK ((state >= 4) = (finished_at IS NOT NULL))
) STRICT;

-- Of one thing there is one open request.
CREATE UNIQUE INDEX approval_open ON approval (action, subject) WHERE state <= 3;
CREATE INDEX approval_in_state ON approval (state);

-- What a request with an idempotency key was answered, for when it comes again.
CREATE TABLE answer (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
    request BLOB NOT NULL CHECK (length(request) = 32),
    status INTEGER NOT NULL,
    body BLOB,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX answer_by_age ON answer (created_at);
