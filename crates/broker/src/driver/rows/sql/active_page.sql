SELECT max(version) AS version, hash, count(*) AS n, group_concat(text, ',') AS rows
FROM (SELECT * FROM log WHERE version > ? ORDER BY version LIMIT ?)
