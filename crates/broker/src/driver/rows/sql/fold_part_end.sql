WITH part AS MATERIALIZED (
  SELECT version, place, row_number() OVER part AS n, sum(own + 1) OVER part AS bytes
  FROM (SELECT version, place, length(text) AS own FROM folded
        WHERE (version, place) > (?1, ?2) ORDER BY version, place LIMIT ?3)
  WINDOW part AS (ORDER BY version, place ROWS UNBOUNDED PRECEDING)),
last AS (
  SELECT max(n) AS n FROM part
  WHERE n = 1 OR (bytes <= ?5
    AND version <= coalesce((SELECT min(version) FROM part WHERE bytes > ?4), version)))
SELECT version, place, (SELECT version FROM part WHERE n = last.n + 1) AS next,
  (SELECT count(*) FROM part) AS read
FROM part JOIN last USING (n)
