SELECT group_concat(text, ',' ORDER BY version, place) AS changes FROM folded
WHERE (version, place) > (?1, ?2) AND (version, place) <= (?3, ?4)
