DELETE FROM segments WHERE last = ?
