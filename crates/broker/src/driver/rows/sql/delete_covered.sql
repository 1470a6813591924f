DELETE FROM folded WHERE place IN (
  SELECT place FROM folded WHERE place >= ?1 AND place < ?2 AND version <= ?3
    AND instr(?4, substr(place, -1)) > 0 LIMIT ?5)
