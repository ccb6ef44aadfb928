-- Remove scopes that hold no value from the index, except those that were registered lately: the process that registered one may
-- still be about to write.
-- Returns nothing.
-- Index: none
--- include: tail read_clock
local names    = KEYS[1]           -- zset: scopes, all with the score 0
local times    = KEYS[2]           -- zset: scopes by the time of their last registration, in ms
local grace_ms = tonumber(ARGV[1]) -- for which a registration is left alone
local scopes   = tail(ARGV, 2)

local before = read_clock() - grace_ms
for _, scope in ipairs(scopes) do
  local registered = redis.call('ZSCORE', times, scope)
  if not registered or tonumber(registered) <= before then
    redis.call('ZREM', names, scope)
    redis.call('ZREM', times, scope)
  end
end
