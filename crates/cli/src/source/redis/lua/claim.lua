-- Claims a page of the entries that a consumer of the group was given and never acknowledged.
-- KEYS: the stream, the lease, the memory.
-- ARGV: the token, the lease's time, the group, the consumer, the least idle time, the cursor, the count, a new incarnation.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return { 'lost' } end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local claimed = redis.pcall('XAUTOCLAIM', KEYS[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6], 'COUNT', ARGV[7])
if claimed.err then
  -- Without the group there is nothing to claim; the read makes the group.
  if string.find(claimed.err, 'NOGROUP') then return { 'none' } end
  return claimed
end
if redis.call('HSETNX', KEYS[3], 'incarnation', ARGV[8]) == 1 then
  redis.call('HSET', KEYS[3], 'gap', 'first')
end
local entries, missing = {}, claimed[3] and #claimed[3] > 0
local given = claimed[2]
for at = 1, #given do
  if given[at] and given[at][2] then
    entries[#entries + 1] = given[at]
  else
    missing = true
    if not claimed[3] then
      -- Before Redis 7 an entry that is gone stays pending until somebody acknowledges it.
      for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[3], '-', '+', 1000, ARGV[4])) do
        local id = pending[1]
        if #redis.call('XRANGE', KEYS[1], id, id) == 0 then redis.call('XACK', KEYS[1], ARGV[3], id) end
      end
    end
  end
end
if missing then redis.call('HSETNX', KEYS[3], 'gap', 'deleted') end
return { 'claimed', redis.call('HGET', KEYS[3], 'incarnation'), claimed[1], entries }
