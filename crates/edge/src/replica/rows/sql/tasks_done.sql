DELETE FROM tasks WHERE kind = ? AND name IN (SELECT value FROM json_each(?))
