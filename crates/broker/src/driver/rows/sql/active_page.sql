WITH page AS (
  SELECT version, hash, text, sum(length(text) + 1) OVER (ORDER BY version) AS bytes
  FROM (SELECT * FROM log WHERE version > ?1 ORDER BY version LIMIT ?2)),
kept AS (
  SELECT * FROM page
  WHERE version = ?1 + 1 OR (bytes - length(text) <= ?3 AND bytes <= ?4))
SELECT max(version) AS version, hash, count(*) AS n, group_concat(text, ',' ORDER BY version) AS rows
FROM kept
