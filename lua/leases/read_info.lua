-- Read who holds a session's lease, who waits for it, and what waits in its inbox.
-- Returns {incarnation, now in ms, lease or '', waiters or '', inbox or ''}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation read_clock
local session     = KEYS[1] -- hash
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''

local found, lease, waiters, inbox =
  unpack(redis.call('HMGET', session, 'incarnation', 'lease', 'lease_waiters', 'inbox'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
return {found, string.format('%d', (read_clock())), lease or '', waiters or '', inbox or ''}
