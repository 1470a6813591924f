SELECT hash FROM log WHERE version = ?
