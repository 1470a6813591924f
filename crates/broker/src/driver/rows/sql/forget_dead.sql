DELETE FROM dead_letters WHERE id IN (SELECT value FROM json_each(?))
