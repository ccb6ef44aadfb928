-- Deletes a session with everything it owns, and wakes those who wait for its lease. Needs no lease; a lost one is refused.
-- Returns 1, or 0 when it was not there.
-- Errors: REPLACED LEASE_LOST
--- include: fence tell tell_all
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local lease    = ARGV[2] -- 'fence nonce' of the lease it is made under, or '-'

local known = redis.call('HMGET', session, 'life', 'lease', 'line')
if not known[1] then return 0 end
if life ~= '' and known[1] ~= life then return redis.error_reply('REPLACED ' .. known[1]) end
local refusal = fence(known[2], lease, 0)
if refusal then return refusal end
redis.call('DEL', session, messages)
tell_all(known[3], 'ask', 0, 0)
return 1
