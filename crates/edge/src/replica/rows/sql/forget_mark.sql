-- ?1: a JSON array of the version that is held and the time; ?2: the mark must be at most so recent. The mark moves once
-- everything below it is forgotten.
INSERT INTO meta VALUES ('mark', ?1) ON CONFLICT DO UPDATE SET value = excluded.value
WHERE value ->> 1 <= ?2 AND value ->> 0 < (SELECT min(newest) FROM floors WHERE kind < 3)
