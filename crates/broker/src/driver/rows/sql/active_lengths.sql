SELECT min(version) AS first, json_group_array(octet_length(text)) AS lengths
FROM (SELECT version, text FROM log WHERE version > ? ORDER BY version LIMIT ? OFFSET ?)
