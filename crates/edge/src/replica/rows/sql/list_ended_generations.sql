-- ?1: what KV names begin with; ?2: the floors that are about to be raised, as JSON.
-- A KV name ends with its key's generation, so the copies of a generation that a hard change ends are asked for no more.
INSERT OR IGNORE INTO tasks
  SELECT 0, ?1 || (new.value ->> 1) || '@' || coalesce(old.hard, 0), 0, 0, 0
  FROM json_each(?2) AS new
  LEFT JOIN floors AS old ON old.kind = 0 AND old.name = (new.value ->> 1)
  WHERE (new.value ->> 0) = 0 AND (new.value ->> 2) > coalesce(old.hard, 0)
