SELECT name, attempts FROM tasks WHERE kind = ? AND due <= ? ORDER BY reads DESC LIMIT ?
