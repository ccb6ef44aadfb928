-- Deletes a session with everything it owns.
-- Returns 1, or 0 when it was not there.
-- Errors: REPLACED
--- include:
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local life     = ARGV[1] -- the incarnation the caller knows, or ''

local found = redis.call('HGET', session, 'life')
if found and life ~= '' and found ~= life then return redis.error_reply('REPLACED ' .. found) end
redis.call('DEL', session, messages)
return found and 1 or 0
