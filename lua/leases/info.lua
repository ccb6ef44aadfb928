-- Reads who holds a session's lease, who stands in line for it, and what waits in its inbox.
-- Returns {life, now, lease or '', line or '', inbox or ''}.
-- Errors: NOT_FOUND REPLACED
--- include: identify clock
local session = KEYS[1] -- hash
local life    = ARGV[1] -- the incarnation the caller knows, or ''

local known = redis.call('HMGET', session, 'life', 'lease', 'line', 'inbox')
local refusal = identify(known[1], life)
if refusal then return refusal end
return {known[1], clock(), known[2] or '', known[3] or '', known[4] or ''}
