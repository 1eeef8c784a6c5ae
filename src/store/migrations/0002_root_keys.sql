-- Version 2. Root keys have rows, versions and a state; an object's wrapped key (KEK) lies apart from what it seals, so that
-- the rotation of a root key overwrites a few bytes of each object and touches nothing else of it.

-- A label is empty only in rows that this migration makes: it is read from the HSM when that is first reached. Like the
-- numbers of adapters, seq is never reused.
CREATE TABLE root_key (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    label TEXT NOT NULL,
    -- 1 active, 2 suspended, 3 destroyed
    state INTEGER NOT NULL CHECK (state IN (1, 2, 3)),
    current_version INTEGER NOT NULL CHECK (current_version > 0),
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    destroyed_at INTEGER,
    destruction TEXT,
    certificate TEXT,
    CHECK ((state = 3) = (destroyed_at IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX root_key_by_label ON root_key (label) WHERE label <> '';

CREATE TABLE root_key_version (
    root INTEGER NOT NULL REFERENCES root_key (seq),
    version INTEGER NOT NULL CHECK (version > 0),
    -- 1 current, 2 superseded, 3 retired
    state INTEGER NOT NULL CHECK (state IN (1, 2, 3)),
    kcv BLOB NOT NULL CHECK (length(kcv) = 3),
    kcv_method TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER,
    attestation TEXT,
    PRIMARY KEY (root, version)
) STRICT, WITHOUT ROWID;

-- One row for each rotation there ever was. `cursor` is the seq of the last KEK that the rotation is done with.
CREATE TABLE rotation (
    seq INTEGER PRIMARY KEY,
    root INTEGER NOT NULL REFERENCES root_key (seq),
    from_version INTEGER NOT NULL,
    to_version INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    cursor INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    finished_at INTEGER,
    proof TEXT,
    UNIQUE (root, to_version)
) STRICT;

-- Keys in the HSM that sign, by what they are for.
CREATE TABLE signer (
    purpose TEXT PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The wrapped key of the material with the same seq. Like rows of `material`, these are appended, never deleted, and only
-- ever overwritten with as many bytes, so that nothing old stays behind. That is why the version is a BLOB (an INTEGER
-- changes its length with its value; big-endian; zeros: under no version), and why `wrapped` always has 88 bytes: the
-- length, the wrapped key, zeros.
CREATE TABLE kek (
    seq INTEGER PRIMARY KEY,
    object INTEGER NOT NULL,
    root INTEGER NOT NULL REFERENCES root_key (seq),
    version BLOB NOT NULL CHECK (length(version) = 4),
    wrapped BLOB NOT NULL CHECK (length(wrapped) = 88)
) STRICT;

INSERT INTO root_key (id, label, state, current_version, created_at, changed_at)
SELECT root_key, '', 1, 1, min(created_at), min(created_at) FROM adapter GROUP BY root_key ORDER BY min(seq);

-- Until now a sealed material began with its format (1), the length of the wrapped key in two bytes, and the wrapped key:
-- format (1 byte), scheme (1), root key (16), version (4), the rest. Only these lengths exist. Whatever is not like that is
-- zeroed already or damaged, and stays as it is.
CREATE TABLE kek_in_material (seq INTEGER PRIMARY KEY, length INTEGER NOT NULL) STRICT;

INSERT INTO kek_in_material (seq, length)
SELECT seq, CASE WHEN length(sealed) < 3 + length THEN 0 ELSE length END
FROM (
    SELECT seq, sealed,
        CASE hex(substr(sealed, 1, 3)) WHEN '01003F' THEN 63 WHEN '010053' THEN 83 WHEN '010057' THEN 87 ELSE 0 END AS length
    FROM material
);

INSERT INTO kek (seq, object, root, version, wrapped)
SELECT m.seq, o.seq, r.seq,
    CASE WHEN w.length > 0 AND substr(m.sealed, 6, 16) = r.id THEN substr(m.sealed, 22, 4) ELSE zeroblob(4) END,
    CASE w.length WHEN 0 THEN zeroblob(88)
        ELSE CAST(substr(m.sealed, 3, 1 + w.length) || zeroblob(87 - w.length) AS BLOB) END
FROM object AS o
JOIN material AS m ON m.seq = o.material
JOIN kek_in_material AS w ON w.seq = m.seq
JOIN adapter AS a ON a.seq = o.adapter
JOIN root_key AS r ON r.id = a.root_key
ORDER BY m.seq;

-- A new table instead of shorter rows: SQLite zeroes the pages of a table that it drops, but not every byte that a row which
-- shrinks gives up.
CREATE TABLE material_without_kek (
    seq INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

INSERT INTO material_without_kek (seq, sealed)
SELECT m.seq, CASE w.length WHEN 0 THEN m.sealed ELSE substr(m.sealed, 4 + w.length) END
FROM material AS m JOIN kek_in_material AS w ON w.seq = m.seq
ORDER BY m.seq;

DROP TABLE kek_in_material;
DROP TABLE material;
ALTER TABLE material_without_kek RENAME TO material;
