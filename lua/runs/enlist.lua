-- Notes that an agent has runs, so that whoever sweeps looks after them. What was not noted for a month is gone.
-- Returns nothing.
--- include: clock
local ids   = KEYS[1] -- zset: agents by when they were noted last, in ms
local agent = ARGV[1]

local now = clock()
redis.call('ZADD', ids, now, agent)
redis.call('ZREMRANGEBYSCORE', ids, '-inf', string.format('(%d', now - 2592000000))
redis.call('PEXPIREAT', ids, string.format('%d', now + 2592000000))
