DELETE FROM hashes WHERE last = ?
