-- Reads what the group has not read, unless something may be missing before it.
-- KEYS: the stream, the lease, the memory.
-- ARGV: the token, the lease's time, the group, the consumer, the count, where a new group begins, a new incarnation, the
-- newest entry that this reader was given, if it knows.
-- The lease makes one reader of many; nothing can come between this check and the read.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return { 'lost' } end
redis.call('PEXPIRE', KEYS[2], ARGV[2])

local function named(list)
  local table = {}
  for at = 1, #list, 2 do table[list[at]] = list[at + 1] end
  return table
end

-- Compares the digits as texts: numbers of Lua have only 53 bits.
local function is_after(one, other)
  local ms, n = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_n = string.match(other, '^(%d+)-(%d+)$')
  if ms == other_ms then ms, other_ms = n, other_n end
  if #ms ~= #other_ms then return #ms > #other_ms end
  return ms > other_ms
end

local function find_group()
  local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
  if groups.err then
    if string.find(groups.err, 'no such key') then return nil end
    return groups
  end
  for _, group in ipairs(groups) do
    local found = named(group)
    if found.name == ARGV[3] then return found end
  end
  return nil
end

local group = find_group()
if group and group.err then return group end
if not group then
  -- The stream is new, or was made anew, or the group was destroyed.
  local gap = redis.call('EXISTS', KEYS[3]) == 1 and 'recreated' or 'first'
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[3], ARGV[6], 'MKSTREAM')
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[3], 'incarnation', ARGV[7], 'gap', gap)
  group = find_group()
end

local seen = named(redis.call('HGETALL', KEYS[3]))
if not seen.incarnation then
  seen.incarnation, seen.gap = ARGV[7], 'first'
  redis.call('HSET', KEYS[3], 'incarnation', seen.incarnation, 'gap', seen.gap)
end
local stream = named(redis.call('XINFO', 'STREAM', KEYS[1]))
local info = redis.pcall('INFO', 'server')
local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
local top, last, added = stream['last-generated-id'], group['last-delivered-id'], stream['entries-added']
local first = stream['first-entry'] and stream['first-entry'][1]
local deleted = stream['max-deleted-entry-id'] or '0-0'
local gone = added and added - stream['length'] or 0

local is_older = seen.top and is_after(seen.top, top)
if is_older or (added and added < (tonumber(seen.added) or 0)) then
  seen.incarnation, seen.gap = ARGV[7], 'recreated'
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[3], 'incarnation', seen.incarnation, 'gap', seen.gap)
end

local gap = seen.gap
if not gap and seen.server ~= server then gap = 'restarted' end
if not gap and is_after(top, last) then
  local is_deleted = is_after(deleted, last) and is_after(deleted, seen.deleted or '0-0')
  local is_trimmed = false
  if not first or is_after(first, last) then
    if added then
      is_trimmed = gone > (group['entries-read'] or 0) and gone > (tonumber(seen.gone) or 0)
    else
      -- Before Redis 7 nothing tells whether anything was between.
      is_trimmed = seen.first ~= (first or top)
    end
  end
  gap = (is_deleted and 'deleted') or (is_trimmed and 'trimmed')
end
if gap then return { 'gap', seen.incarnation, gap, server, tostring(gone), first or top, deleted } end

-- Somebody else was given entries, or an answer to this reader was lost: they are claimed first, for the order.
if ARGV[8] ~= '' and ARGV[8] ~= last then return { 'moved' } end

local read = redis.call('XREADGROUP', 'GROUP', ARGV[3], ARGV[4], 'COUNT', ARGV[5], 'STREAMS', KEYS[1], '>')
local entries = read and read[1][2] or {}
if #entries > 0 then
  last = entries[#entries][1]
  redis.call('HSET', KEYS[3], 'top', top, 'added', added or 0)
end
local lag = -1
if added and group['entries-read'] then lag = added - group['entries-read'] - #entries end
return { 'entries', seen.incarnation, lag, group['pending'] + #entries, last, entries }
