INSERT INTO segments (last, first, hash, bytes, rows)
  SELECT max(version), min(version), (SELECT hash FROM log WHERE version = ?1),
    sum(octet_length(text) + 1), group_concat(text, ',')
  FROM (SELECT version, text FROM log WHERE version <= ?1 ORDER BY version)
