DELETE FROM log;
DELETE FROM segments;
DELETE FROM hashes;
DELETE FROM folded;
DELETE FROM meta WHERE name IN ('folded', 'asked');
