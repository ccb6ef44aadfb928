-- Adds to a whole number in a session's state, exactly once for a batch id.
-- Returns {life, 'rev sum'}; the sum exact below 2^53.
-- Errors: CHAIN NOT_FOUND REPLACED LOCKED LEASE_LOST NOT_ACTIVE REVISION NOT_A_NUMBER LIMIT
--- include: rest counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local batch    = ARGV[2]           -- batch id, of this field alone
local lease    = ARGV[3]           -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4]           -- the rev that must be current, or ''
local field    = ARGV[5]           -- 'state.<name>'
local amount   = tonumber(ARGV[6]) -- a whole number, may be negative
local most     = tonumber(ARGV[7]) -- how many fields a session may have

local known, told = guard(session, family, life, lease, expected, batch)
if told then return told end
local value, exact = redis.call('HGET', session, field), 9007199254740991
local total = redis.call('HLEN', session) + 1
if not value and total > most then
  return redis.error_reply(string.format('LIMIT fields %d %d error', total, most))
end
value = value or '0'
if not string.match(value, '^%-?%d+$') or math.abs(value) > exact or math.abs(value + amount) > exact then
  return redis.error_reply('NOT_A_NUMBER ' .. field)
end
local sum = string.format('%d', value + amount)
redis.call('HSET', session, field, sum)
return answer(session, messages, known, batch, sum)
