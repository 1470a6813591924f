SELECT json_group_array(version) AS versions, json_group_array(own) AS lengths
FROM (SELECT version, length(text) AS own FROM folded
  WHERE (version, place) > (?, ?) ORDER BY version, place LIMIT ?)
