-- Tells those who watch a session something that is not stored.
-- Returns life.
-- Errors: NOT_FOUND REPLACED
--- include: identify clock tell rouse
local session = KEYS[1] -- hash
local life    = ARGV[1] -- the incarnation the caller knows, or ''
local text    = ARGV[2] -- JSON

local known = redis.call('HMGET', session, 'life', 'readers')
local refusal = identify(known[1], life)
if refusal then return refusal end
if known[2] then rouse(session, known[2], clock(), 'delta', text) end
return known[1]
