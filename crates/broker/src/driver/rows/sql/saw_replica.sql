INSERT OR REPLACE INTO replicas (name, seen) VALUES (?, ?)
