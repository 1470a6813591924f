SELECT last AS version, hash FROM segments ORDER BY last DESC LIMIT 1
