-- Tell the watchers of a session something that is not stored.
-- Returns the incarnation.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation notify_subscribers read_clock
local session     = KEYS[1] -- hash
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''
local text        = ARGV[2] -- JSON

local found, subscribers = unpack(redis.call('HMGET', session, 'incarnation', 'subscribers'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
if subscribers then notify_subscribers(session, subscribers, read_clock(), 'delta', text) end
return found
