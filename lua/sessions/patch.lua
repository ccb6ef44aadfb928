-- Sets and removes fields of a session that no other script depends on: names, metadata, state, settings.
-- Returns {life, rev, how many of the removed were there}.
-- Errors: NOT_FOUND REPLACED REVISION LIMIT
--- include: rest identify counts guard clock expire extend change
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local expected = ARGV[2]           -- the rev that must be current, or ''
local sets     = tonumber(ARGV[3]) -- how many of the following are set
local most     = tonumber(ARGV[4]) -- how many fields a session may have
local fields   = rest(ARGV, 5)     -- name, value, … of those set, then the names of those removed

local known, refusal = guard(session, life, expected)
if refusal then return refusal end
local total = redis.call('HLEN', session)
for at = 1, sets * 2, 2 do
  total = total + 1 - redis.call('HEXISTS', session, fields[at])
end
if sets > 0 and total > most then
  return redis.error_reply(string.format('LIMIT fields %.0f %.0f error', total, most))
end
for at = 1, sets * 2, 2 do
  redis.call('HSET', session, fields[at], fields[at + 1])
end
local removed = 0
for at = sets * 2 + 1, #fields do
  removed = removed + redis.call('HDEL', session, fields[at])
end
return {known[1], change(session, messages, clock(), known[3], known[2]), removed}
