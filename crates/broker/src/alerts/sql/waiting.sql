SELECT receiver, count(*) AS waiting FROM notices GROUP BY receiver ORDER BY receiver
