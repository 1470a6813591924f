-- Messages that were not delivered yet, in the order in which they came about.
CREATE TABLE notices (
    number INTEGER PRIMARY KEY,
    receiver TEXT NOT NULL,
    notice TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    made INTEGER NOT NULL
);
