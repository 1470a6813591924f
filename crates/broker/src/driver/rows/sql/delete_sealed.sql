DELETE FROM log WHERE version <= ?
