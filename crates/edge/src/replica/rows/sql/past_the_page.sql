-- The first floor that does not fit into a page.
SELECT newest AS version FROM floors WHERE newest > ? ORDER BY newest LIMIT 1 OFFSET ?
