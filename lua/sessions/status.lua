-- Changes a session's status. An ended session stays as it ended; the same status again changes nothing.
-- Returns {life, rev, status}.
-- Errors: NOT_FOUND REPLACED REVISION TRANSITION
--- include: identify counts guard clock expire extend finish change
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local expected = ARGV[2] -- the rev that must be current, or ''
local status   = ARGV[3] -- the new one
local reason   = ARGV[4] -- why, or ''
local result   = ARGV[5] -- JSON, or ''

local known, refusal = guard(session, life, '')
if refusal then return refusal end
if known[4] == status then return {known[1], known[2].rev, status} end
known, refusal = guard(session, life, expected)
if refusal then return refusal end
if known[4] ~= 'active' and known[4] ~= 'paused' then
  return redis.error_reply('TRANSITION ' .. known[4] .. ' ' .. status)
end
local now = clock()
finish(session, now, status, reason)
if result ~= '' then redis.call('HSET', session, 'result', result) end
return {known[1], change(session, messages, now, known[3], known[2]), status}
