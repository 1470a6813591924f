INSERT INTO dead_letters (digest, at, hook, reason, message) VALUES (unhex(?), ?, ?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET at = excluded.at, reason = excluded.reason
