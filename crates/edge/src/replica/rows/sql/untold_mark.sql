-- The newest floor of a key or tag that is one too many for a reply.
SELECT newest AS version FROM floors WHERE newest > ? AND kind < 2 ORDER BY newest DESC LIMIT 1 OFFSET ?
