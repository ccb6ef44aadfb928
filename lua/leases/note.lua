-- Notes in the index of leases that one is held for so long, or that it is not any more. The index is advisory: it is
-- written beside the lease, in a slot of its own, and what ran out a minute ago leaves it.
-- Returns nothing.
--- include: clock
local ids = KEYS[1]           -- zset of session ids by deadline, in ms
local id  = ARGV[1]           -- the session
local ttl = tonumber(ARGV[2]) -- ms it is held, or 0

local now = clock()
if ttl == 0 then
  redis.call('ZREM', ids, id)
  return
end
redis.call('ZADD', ids, string.format('%d', now + ttl), id)
redis.call('ZREMRANGEBYSCORE', ids, '-inf', string.format('(%d', now - 60000))
redis.call('PEXPIREAT', ids, string.format('%d', now + 86400000))
