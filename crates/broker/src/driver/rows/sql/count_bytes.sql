SELECT (SELECT coalesce(sum(octet_length(text) + 1), 0) FROM log) AS active,
  (SELECT coalesce(sum(bytes), 0) FROM segments) AS sealed
