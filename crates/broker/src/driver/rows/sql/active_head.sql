SELECT version, hash FROM log ORDER BY version DESC LIMIT 1
