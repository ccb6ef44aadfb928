-- Adds to a whole number in a session's state, exactly once for a batch id.
-- Returns {life, 'sum rev'}; the sum as text, exact below 2^53.
-- Errors: NOT_FOUND REPLACED REVISION NOT_A_NUMBER
--- include: identify counts guard bucket recall remember clock expire extend change
local session   = KEYS[1]           -- hash
local messages  = KEYS[2]           -- list
local life      = ARGV[1]           -- the incarnation the caller knows, or ''
local batch     = ARGV[2]           -- batch id
local expected  = ARGV[3]           -- the rev that must be current, or ''
local field     = ARGV[4]           -- 'state.<name>'
local amount    = tonumber(ARGV[5]) -- a whole number, may be negative

local ops = bucket(batch)
local known = redis.call('HMGET', session, 'life', field, ops)
local refusal = identify(known[1], life)
if refusal then return refusal end
local before = recall(known[3] or '', batch)
if before then return {known[1], before} end
local guarded
guarded, refusal = guard(session, life, expected)
if refusal then return refusal end
local value, count, exact = known[2] or '0', guarded[2], 9007199254740991
if not string.match(value, '^%-?%d+$') or math.abs(value) > exact or math.abs(value + amount) > exact then
  return redis.error_reply('NOT_A_NUMBER ' .. field)
end
local sum = string.format('%.0f', value + amount)
count.ops = count.ops + 1
redis.call('HSET', session, field, sum)
local result = sum .. ' ' .. change(session, messages, clock(), guarded[3], count)
redis.call('HSET', session, ops, remember(known[3] or '', batch, count.ops, result))
return {known[1], result}
