-- The first schema. Released: never changed (docs/upgrades.md).
CREATE TABLE IF NOT EXISTS floors (
  kind INTEGER, name TEXT, hard INTEGER NOT NULL, soft INTEGER NOT NULL, removed INTEGER NOT NULL,
  newest INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS floors_newest ON floors (newest);
CREATE TABLE IF NOT EXISTS tasks (
  kind INTEGER, name TEXT, reads INTEGER NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL,
  PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_next ON tasks (kind, reads DESC);
