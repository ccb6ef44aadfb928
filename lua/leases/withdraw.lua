-- Withdraw a request for a lease: leave the place among the waiters.
-- Returns {incarnation, fence}: the fence if the lease was granted since, so that the caller releases it; else 0.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation parse_lease remove_lease_waiter save_lease_waiters
local session     = KEYS[1] -- hash
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''
local nonce       = ARGV[2] -- of the request

local found, held, waiters = unpack(redis.call('HMGET', session, 'incarnation', 'lease', 'lease_waiters'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local lease = parse_lease(held)
if lease.nonce == nonce then return {found, lease.fence} end
local left = remove_lease_waiter(waiters or '', nonce)
if waiters and left ~= waiters then save_lease_waiters(session, left) end
return {found, 0}
