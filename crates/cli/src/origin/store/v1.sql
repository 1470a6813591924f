-- The origin's database as the first release left it: never changed.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO meta VALUES ('origin', '0011223344556677'), ('catalog', 'tv');
CREATE TABLE entries (
        key TEXT PRIMARY KEY, content_type TEXT NOT NULL, tags TEXT NOT NULL, etag TEXT NOT NULL,
        body BLOB NOT NULL);
INSERT INTO entries VALUES ('title:1', 'text/plain', '["t"]', '"0123456789abcdef"', CAST('one' AS BLOB));
CREATE TABLE outbox (
        txn INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, body TEXT NOT NULL);
INSERT INTO outbox VALUES (8, '0011223344556677-8', '{"changes":[{"key":"title:1","tags":["t"]}]}');
CREATE TABLE rejected (
        key TEXT PRIMARY KEY, txn INTEGER NOT NULL, body TEXT NOT NULL, why TEXT NOT NULL);
INSERT INTO rejected VALUES ('0011223344556677-3', 3, '{"changes":[{"all":true}]}', 'it could not be made');
