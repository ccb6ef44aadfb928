-- Read the writes of shared scopes that a session keeps until they are applied.
-- Returns {incarnation, revision, writes, …}, oldest first, as many as fit a page and one at least.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation
local session     = KEYS[1] -- hash
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''
local max_bytes   = tonumber(ARGV[2]) -- at which a page is full

local found, outbox = unpack(redis.call('HMGET', session, 'incarnation', 'outbox'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local shown, bytes = {found}, 0
for rev in string.gmatch(outbox or '', '%d+') do
  if bytes >= max_bytes then break end
  local writes = redis.call('HGET', session, 'outbox.' .. rev) or ''
  shown[#shown + 1], shown[#shown + 2], bytes = rev, writes, bytes + #writes
end
return shown
