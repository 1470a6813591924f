SELECT at FROM hashes WHERE last <= ? ORDER BY last LIMIT 1
