-- Read the writes of shared scopes that a session keeps until they are applied.
-- Returns {incarnation, revision, writes, …}, oldest first.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation
local session     = KEYS[1] -- hash
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''

local found, outbox = unpack(redis.call('HMGET', session, 'incarnation', 'outbox'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local shown = {found}
for rev in string.gmatch(outbox or '', '%d+') do
  shown[#shown + 1], shown[#shown + 2] = rev, redis.call('HGET', session, 'outbox.' .. rev) or ''
end
return shown
