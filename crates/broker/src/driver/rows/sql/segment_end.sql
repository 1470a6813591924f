WITH page AS (
  SELECT version, length(text) AS own, sum(length(text) + 1) OVER (ORDER BY version) AS bytes
  FROM (SELECT * FROM log ORDER BY version LIMIT ?1))
SELECT max(version) AS last, max(bytes) AS bytes FROM page
WHERE bytes = own + 1 OR (bytes - own <= ?2 AND bytes <= ?3)
