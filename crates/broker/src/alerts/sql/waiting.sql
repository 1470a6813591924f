SELECT receiver, count(*) AS waiting, max(attempts) AS attempts FROM notices GROUP BY receiver ORDER BY receiver
