SELECT group_concat(text, ',') AS changes, max(place) FILTER (WHERE version = ?4) AS place
FROM (SELECT version, place, text FROM folded
  WHERE (version, place) > (?1, ?2) ORDER BY version, place LIMIT ?3)
