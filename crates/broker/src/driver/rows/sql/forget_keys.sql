DELETE FROM keys WHERE digest IN (SELECT digest FROM keys WHERE at <= ? ORDER BY at LIMIT ?)
