-- Renews a lease for its whole ttl, and tells those in line how long that is. Nobody took it meanwhile, so it may have
-- run out before.
-- Returns {life, ms it holds}.
-- Errors: CHAIN NOT_FOUND REPLACED LEASE_LOST
--- include: rest identify clock expire extend uphold belong tell tell_all grant fence
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local family   = rest(KEYS, 3)     -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local lease    = ARGV[2]           -- 'fence nonce'
local ttl      = tonumber(ARGV[3]) -- ms

local known = redis.call('HMGET', session, 'life', 'rules', 'lease', 'line', 'place')
local refusal = identify(known[1], life)
if refusal then return refusal end
local now = clock()
local over, unnamed = belong(family, known[5])
if unnamed then return over end
refusal = fence(known[3], lease, now)
if refusal then return refusal end
local number, nonce, owner = string.match(known[3], '^(%d+) (%S+) %d+ (%S+)$')
grant(session, number, nonce, owner, now, ttl)
extend(session, messages, now, known[2])
uphold(family, now)
tell_all(known[4], 'held', number, ttl)
return {known[1], ttl}
