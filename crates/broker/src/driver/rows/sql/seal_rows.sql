INSERT INTO segments (last, first, hash, bytes, rows)
  SELECT max(version), min(version), (SELECT hash FROM log WHERE version = ?1),
    sum(length(text) + 1), group_concat(text, ',' ORDER BY version)
  FROM log WHERE version <= ?1
