DELETE FROM tasks WHERE kind = ?1 AND name IN (
  SELECT name FROM tasks WHERE kind = ?1 ORDER BY reads DESC LIMIT -1 OFFSET ?2)
