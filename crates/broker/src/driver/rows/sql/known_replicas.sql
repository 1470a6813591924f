SELECT name FROM replicas ORDER BY name
