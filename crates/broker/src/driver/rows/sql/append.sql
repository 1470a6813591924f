INSERT INTO log (version, hash, text) VALUES (?, ?, ?)
