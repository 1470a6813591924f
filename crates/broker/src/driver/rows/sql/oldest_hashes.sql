SELECT first, last FROM hashes ORDER BY last LIMIT 1
