-- Sets and removes fields of a session that no other script depends on: names, metadata, state, settings.
-- Returns {life, 'rev removed'}: how many of the removed were there. The same batch id again returns its first result.
-- Errors: CHAIN NOT_FOUND REPLACED LOCKED LEASE_LOST NOT_ACTIVE REVISION LIMIT
--- include: counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer rest
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local batch    = ARGV[2]           -- batch id
local lease    = ARGV[3]           -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4]           -- the rev that must be current, or ''
local sets     = tonumber(ARGV[5]) -- how many of the following are set
local most     = tonumber(ARGV[6]) -- how many fields a session may have
local fields   = rest(ARGV, 7)     -- name, value, … of those set, then the names of those removed

local known, told = guard(session, family, life, lease, expected, batch)
if told then return told end
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
return answer(session, messages, known, batch, removed)
