-- Version 1. Identifiers of callers are 16 bytes; inside, every adapter and object has a small number (seq) that keeps
-- index rows short. Index tables name objects without a foreign key: only one place writes them, in the transaction that
-- writes the object, and the parent look-up would cost as much as the row.

-- AUTOINCREMENT: a number that once meant one adapter never comes to mean another.
CREATE TABLE adapter (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    root_key BLOB NOT NULL CHECK (length(root_key) = 16),
    username TEXT,
    password_hash TEXT,
    created_at INTEGER NOT NULL,
    CHECK ((username IS NULL) = (password_hash IS NULL))
) STRICT;

CREATE TABLE certificate (
    seq INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE CHECK (length(fingerprint) = 32),
    adapter INTEGER NOT NULL REFERENCES adapter (seq),
    name TEXT NOT NULL,
    der BLOB NOT NULL,
    added_at INTEGER NOT NULL
) STRICT;

CREATE INDEX certificate_of_adapter ON certificate (adapter);

CREATE TABLE ca_rule (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    adapter INTEGER NOT NULL REFERENCES adapter (seq),
    common_name TEXT NOT NULL UNIQUE,
    added_at INTEGER NOT NULL
) STRICT;

-- One row: a number that grows with every change of the three tables above.
CREATE TABLE trust (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    generation INTEGER NOT NULL
) STRICT;

INSERT INTO trust (only, generation) VALUES (1, 1);

-- Sealed material, apart from the objects for one reason: so that it can be erased. Rows are appended and never deleted,
-- and change only by being overwritten with as many zeros, in place. Thus no row of this table ever moves between pages;
-- when SQLite moves rows it may leave their old bytes in the unused part of a page, where secure_delete does not reach.
CREATE TABLE material (
    seq INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

-- `entries` is what the index tables below hold for the object: an update writes only the difference, and a search checks
-- dates against it. It stands before `metadata` so that reading it seldom follows an overflow page.
CREATE TABLE object (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    adapter INTEGER NOT NULL REFERENCES adapter (seq),
    object_type INTEGER NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    destroyed INTEGER NOT NULL CHECK (destroyed IN (0, 1)),
    due_at INTEGER,
    material INTEGER REFERENCES material (seq),
    entries BLOB NOT NULL,
    metadata BLOB NOT NULL
) STRICT;

-- The rowid is every index's last column, so these walk objects in the order of creation and of due_at.
CREATE INDEX object_of_adapter ON object (adapter, destroyed);
CREATE INDEX object_due ON object (adapter, due_at) WHERE due_at IS NOT NULL;

-- Live and destroyed objects are apart, so that a search for live ones does not pay for those destroyed over the years.
CREATE TABLE term (
    adapter INTEGER NOT NULL,
    term BLOB NOT NULL,
    destroyed INTEGER NOT NULL,
    object INTEGER NOT NULL,
    PRIMARY KEY (adapter, term, destroyed, object)
) STRICT, WITHOUT ROWID;

CREATE TABLE dated (
    adapter INTEGER NOT NULL,
    field INTEGER NOT NULL,
    destroyed INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    object INTEGER NOT NULL,
    PRIMARY KEY (adapter, field, destroyed, seconds, object)
) STRICT, WITHOUT ROWID;

-- Terms that one live object of the adapter holds alone.
CREATE TABLE unique_term (
    adapter INTEGER NOT NULL,
    term BLOB NOT NULL,
    object INTEGER NOT NULL,
    PRIMARY KEY (adapter, term)
) STRICT, WITHOUT ROWID;
