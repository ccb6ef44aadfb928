-- Renews a lease for its whole ttl, and tells those in line how long that is. Nobody took it meanwhile, so it may have
-- run out before.
-- Returns {life, ms it holds}.
-- Errors: NOT_FOUND REPLACED LEASE_LOST
--- include: identify clock expire extend tell tell_all grant fence
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local lease    = ARGV[2]           -- 'fence nonce'
local ttl      = tonumber(ARGV[3]) -- ms

local known = redis.call('HMGET', session, 'life', 'rules', 'lease', 'line')
local refusal = identify(known[1], life)
if refusal then return refusal end
local now = clock()
refusal = fence(known[3], lease, now)
if refusal then return refusal end
local number, nonce, owner = string.match(known[3], '^(%d+) (%S+) %d+ (%S+)$')
grant(session, number, nonce, owner, now, ttl)
extend(session, messages, now, known[2])
tell_all(known[4], 'held', number, ttl)
return {known[1], ttl}
