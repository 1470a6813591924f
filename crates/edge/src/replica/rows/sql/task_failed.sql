UPDATE tasks SET attempts = attempts + 1, due = ? WHERE kind = ? AND name = ?
