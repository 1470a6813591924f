SELECT max(hard) AS hard, max(soft) AS soft FROM floors WHERE kind = 1
