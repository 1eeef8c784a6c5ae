-- Version 4. Where things come from.

-- For which adapter the own authority issued a certificate, or with which one of it was registered first. No rule makes it act
-- as another, also when that registration or that adapter is gone. A row goes some time after the certificate has ended.
CREATE TABLE issued (
    fingerprint BLOB PRIMARY KEY CHECK (length(fingerprint) = 32),
    adapter INTEGER NOT NULL REFERENCES adapter (seq),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX issued_by_end ON issued (expires_at);
