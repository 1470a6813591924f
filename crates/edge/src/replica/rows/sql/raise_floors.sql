-- ?: a JSON array of [kind, name, hard, soft, removed]. A floor never goes down.
INSERT INTO floors (kind, name, hard, soft, removed, newest)
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, max(value ->> 2, value ->> 3)
  FROM json_each(?) WHERE true
ON CONFLICT (kind, name) DO UPDATE SET
  hard = max(hard, excluded.hard), soft = max(soft, excluded.soft),
  removed = max(removed, excluded.removed), newest = max(newest, excluded.newest)
