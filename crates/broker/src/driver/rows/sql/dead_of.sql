SELECT id, at, hook, reason, message FROM dead_letters
WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id
