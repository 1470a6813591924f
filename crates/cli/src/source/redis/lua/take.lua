-- Takes the lease of a stream, or keeps it. KEYS: the lease. ARGV: the token, the lease's time.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
