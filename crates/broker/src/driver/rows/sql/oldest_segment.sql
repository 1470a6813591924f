SELECT last, hash, bytes, rows FROM segments ORDER BY last LIMIT 1
