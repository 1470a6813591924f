SELECT count(*) AS count, coalesce(sum(octet_length(message)), 0) AS bytes FROM dead_letters
