-- Register an agent that has runs, so that `recover` checks them. An agent that was not registered for 30 days leaves.
-- Returns nothing.
-- Errors: BOUND_EXCEEDED
-- Index: none
--- include: read_clock
local ids   = KEYS[1] -- zset: agents by the time of their last registration, in ms
local agent      = ARGV[1]
local max_agents = tonumber(ARGV[2])

local now_ms = read_clock()
redis.call('ZREMRANGEBYSCORE', ids, '-inf', string.format('(%d', now_ms - 2592000000))
local count = redis.call('ZCARD', ids)
if count >= max_agents and not redis.call('ZSCORE', ids, agent) then
  return redis.error_reply(string.format('BOUND_EXCEEDED agents %d %d', count + 1, max_agents))
end
redis.call('ZADD', ids, string.format('%d', now_ms), agent)
redis.call('PEXPIREAT', ids, string.format('%d', now_ms + 2592000000))
