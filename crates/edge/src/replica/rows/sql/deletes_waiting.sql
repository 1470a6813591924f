SELECT count(*) AS waiting FROM (SELECT 1 FROM tasks WHERE kind = 0 LIMIT 10000)
