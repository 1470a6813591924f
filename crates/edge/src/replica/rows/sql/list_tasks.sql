-- ?2: a JSON array of [name, reads].
INSERT INTO tasks SELECT ?1, value ->> 0, value ->> 1, 0, 0 FROM json_each(?2) WHERE true
ON CONFLICT DO UPDATE SET reads = max(reads, excluded.reads), attempts = 0, due = 0
