-- Register a scope that is about to hold values. The index is a hint: it is written before the scope, in a slot of its own.
-- Returns nothing.
-- Errors: BOUND_EXCEEDED
-- Index: none
--- include: read_clock
local names      = KEYS[1]           -- zset: scopes, all with the score 0
local times      = KEYS[2]           -- zset: scopes by the time of their last registration, in ms
local scope      = ARGV[1]
local max_scopes = tonumber(ARGV[2])

local count = redis.call('ZCARD', names)
if count >= max_scopes and not redis.call('ZSCORE', names, scope) then
  return redis.error_reply(string.format('BOUND_EXCEEDED scopes %d %d', count + 1, max_scopes))
end
redis.call('ZADD', names, 0, scope)
redis.call('ZADD', times, string.format('%d', (read_clock())), scope)
