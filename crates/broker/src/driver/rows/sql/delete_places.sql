DELETE FROM folded WHERE place IN (SELECT value FROM json_each(?))
