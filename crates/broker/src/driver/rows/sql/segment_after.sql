SELECT first, last, hash, rows FROM segments WHERE last > ? ORDER BY last LIMIT 1
