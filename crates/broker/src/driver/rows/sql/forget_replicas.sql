DELETE FROM replicas WHERE seen < ?
