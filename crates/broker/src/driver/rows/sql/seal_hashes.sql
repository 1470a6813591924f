INSERT INTO hashes (last, first, at, hashes)
  SELECT max(version), min(version), (SELECT json_extract(text, '$.at') FROM log WHERE version = ?1),
    unhex(group_concat(hash, ''))
  FROM (SELECT version, hash FROM log WHERE version <= ?1 ORDER BY version)
