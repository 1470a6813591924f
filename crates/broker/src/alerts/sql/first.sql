-- The oldest message of a receiver: a later one waits for it.
SELECT number, notice, attempts, due, made FROM notices WHERE receiver = ? ORDER BY number LIMIT 1
