CREATE TABLE IF NOT EXISTS titles (
  id int PRIMARY KEY,
  name text NOT NULL,
  genres text[] NOT NULL
);

INSERT INTO titles VALUES
  (1, 'The Lantern Keepers', '{Drama}'),
  (2, 'Salt and Signal', '{Thriller,Drama}'),
  (3, 'The Long Relay', '{Documentary}')
ON CONFLICT DO NOTHING;
