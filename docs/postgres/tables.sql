-- A small streaming guide, for `scripts/dev --postgres` and for trying things out.
CREATE TABLE titles (
  id int PRIMARY KEY,
  name text NOT NULL,
  platforms text[] NOT NULL,
  genres text[] NOT NULL,
  kind text NOT NULL,
  year int NOT NULL,
  description text NOT NULL
);

CREATE TABLE availability (
  platform text NOT NULL,
  title_id int NOT NULL REFERENCES titles,
  offer text NOT NULL DEFAULT 'subscription',
  PRIMARY KEY (platform, title_id)
);
