-- ?: a JSON array of [kind, name]. The floor of everything stands for those that were forgotten.
SELECT json_group_array(json_array(kind, name, hard, soft, removed)) AS floors FROM floors
WHERE kind = 3 OR (kind, name) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
