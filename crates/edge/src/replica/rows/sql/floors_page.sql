-- The floors raised in (?1, ?2], and those of prefixes and of everything raised in (?3, ?1], as one JSON text.
SELECT json_group_array(json_array(kind, name, hard, soft, removed)) AS floors FROM (
  SELECT * FROM floors WHERE newest > ?1 AND newest <= ?2
  UNION ALL SELECT * FROM floors WHERE kind >= 2 AND newest > ?3 AND newest <= ?1)
