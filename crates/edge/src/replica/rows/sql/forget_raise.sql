-- ?: the mark must be at most so recent. The floor of everything rises to the newest floor that is about to be forgotten.
-- There may be removals among them, and no change removes everything: so `removed` is what is forgotten.
INSERT INTO floors SELECT 3, '', old, 0, old, old FROM (SELECT max(newest) AS old FROM (
  SELECT newest FROM floors, meta WHERE meta.name = 'mark' AND value ->> 1 <= ?
  AND newest <= value ->> 0 AND kind < 3 ORDER BY newest LIMIT 20000)) WHERE old > 0
ON CONFLICT DO UPDATE SET hard = max(hard, excluded.hard), removed = excluded.hard,
  newest = max(newest, excluded.hard)
