-- Read a session's fields, without its messages, its state, and the fields that only scripts use.
-- Returns {name, value, …}, with 'count' (messages in the list), 'left' (ms of life, or -1) and 'now' (ms) added.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation read_info_fields
local session     = KEYS[1] -- hash
local messages    = KEYS[2] -- list
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''

local refusal = check_incarnation(redis.call('HGET', session, 'incarnation'), incarnation)
if refusal then return refusal end
return read_info_fields(session, messages, false)
