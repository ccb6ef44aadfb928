-- Write or remove a session's entry in the index of held leases. The index is advisory: it is written after the lease, in a
-- slot of its own. Entries that ran out a minute ago leave it.
-- Returns nothing.
-- Index: none
--- include: read_clock
local ids    = KEYS[1]           -- zset of session IDs by deadline, in ms
local id     = ARGV[1]           -- the session
local ttl_ms = tonumber(ARGV[2]) -- that the lease lasts, or 0

if ttl_ms == 0 then
  redis.call('ZREM', ids, id)
  return
end
local now_ms = read_clock()
redis.call('ZADD', ids, string.format('%d', now_ms + ttl_ms), id)
redis.call('ZREMRANGEBYSCORE', ids, '-inf', string.format('(%d', now_ms - 60000))
redis.call('PEXPIREAT', ids, string.format('%d', now_ms + 86400000))
