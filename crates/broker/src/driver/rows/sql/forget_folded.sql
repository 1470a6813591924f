DELETE FROM folded WHERE place IN (SELECT place FROM folded WHERE version <= ? LIMIT ?)
