SELECT first, lower(hex(substr(hashes, (?1 - first) * 8 + 1, 8))) AS hash
FROM hashes WHERE last >= ?1 ORDER BY last LIMIT 1
