SELECT id, at, hook, reason, message FROM dead_letters WHERE id > ? ORDER BY id LIMIT ?
