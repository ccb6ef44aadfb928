-- Withdraw a claim whose reply the worker never got: do not count its attempt.
-- Returns {incarnation, fence}: the fence if the run was claimed, so that the caller releases its lease; else 0.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation parse_lease parse_run format_lease format_run
local session     = KEYS[1] -- hash
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''
local nonce       = ARGV[2] -- of the claim
local released    = ARGV[3] -- a nonce for the lease from now on, so that a repeated call counts no second attempt back

local found, held, run_text = unpack(redis.call('HMGET', session, 'incarnation', 'lease', 'run'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local lease, run = parse_lease(held), parse_run(run_text)
if lease.nonce == released then return {found, lease.fence} end
if lease.nonce ~= nonce then return {found, 0} end
lease.nonce, run.attempts = released, math.max(run.attempts - 1, 0)
redis.call('HSET', session, 'lease', format_lease(lease), 'run', format_run(run))
return {found, lease.fence}
