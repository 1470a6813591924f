SELECT lower(hex(fingerprint)) AS fingerprint, at, changes,
  epoch || ':' || version || ':' || lower(hex(hash)) AS position
FROM keys WHERE digest = unhex(?) AND at >= ?
