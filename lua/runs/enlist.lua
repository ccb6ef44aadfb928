-- Notes that an agent has runs, so that somebody looks after them, or that it has none any more.
-- Returns nothing.
--- include: clock
local ids   = KEYS[1]        -- zset: agents by when they were noted last, in ms
local agent = ARGV[1]
local gone  = ARGV[2] == '1' -- it has none any more

local now = clock()
if gone then
  redis.call('ZREM', ids, agent)
else
  redis.call('ZADD', ids, now, agent)
  redis.call('PEXPIREAT', ids, string.format('%d', now + 2592000000))
end
