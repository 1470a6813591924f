INSERT OR REPLACE INTO keys (digest, fingerprint, at, epoch, version, hash, changes)
VALUES (unhex(?), unhex(?), ?, ?, ?, unhex(?), ?)
