-- Version 4. Through whose hands access came, and for whom certificates were issued.

-- Who gave access, directly or through others: identities as UUIDs in text form, ascending, separated by commas. Of an identity it
-- is about its grants and its certificate; of an API key about the key; of a request about what it was asked for with. What is
-- older came through nobody's hands.
ALTER TABLE identity ADD COLUMN hands TEXT NOT NULL DEFAULT '';
ALTER TABLE api_key ADD COLUMN hands TEXT NOT NULL DEFAULT '';
ALTER TABLE approval ADD COLUMN hands TEXT NOT NULL DEFAULT '';

-- Since when two identities can log in and decide over requests: the first two, who have no hands. Once there, the row stays.
CREATE TABLE hands_kept (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    since INTEGER NOT NULL
) STRICT;

-- For which adapter the own authority issued a certificate, or with which one of it was registered first. No rule makes it act
-- as another, also when that registration or that adapter is gone. A row goes some time after the certificate has ended.
CREATE TABLE issued (
    fingerprint BLOB PRIMARY KEY CHECK (length(fingerprint) = 32),
    adapter INTEGER NOT NULL REFERENCES adapter (seq),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX issued_by_end ON issued (expires_at);
