DELETE FROM floors WHERE kind < 3 AND newest <= (SELECT removed FROM floors WHERE kind = 3)
