SELECT min(at) AS at FROM keys
