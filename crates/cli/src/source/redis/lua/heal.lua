-- Notes that all that may have been missed was published. KEYS: the stream, the lease, the memory.
-- ARGV: the token, the incarnation, the server, how many entries were gone, the first entry, the newest deleted one.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[3], 'incarnation') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[3], 'server', ARGV[3], 'gone', ARGV[4], 'first', ARGV[5], 'deleted', ARGV[6])
redis.call('HDEL', KEYS[3], 'gap')
return 1
