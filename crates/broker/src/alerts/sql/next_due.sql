-- When the first message may be sent: of each receiver the oldest, since a later one waits for it.
SELECT min(due) AS due FROM notices WHERE number IN (SELECT min(number) FROM notices GROUP BY receiver)
