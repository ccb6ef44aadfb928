-- Changes a session's status. An ended session stays as it ended; the same status again changes nothing.
-- Returns {life, 'rev'}.
-- Errors: NOT_FOUND REPLACED REVISION TRANSITION
--- include: counts identify bucket recall remember guard clock expire extend change answer finish
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local batch    = ARGV[2] -- batch id
local expected = ARGV[3] -- the rev that must be current, or ''
local status   = ARGV[4] -- the new one
local reason   = ARGV[5] -- why, or ''
local result   = ARGV[6] -- JSON, or ''

local known, told = guard(session, life, '', batch)
if told then return told end
if known[4] == status then return {known[1], known[2].rev .. ' '} end
known, told = guard(session, life, expected, batch)
if told then return told end
if known[4] ~= 'active' and known[4] ~= 'paused' then
  return redis.error_reply('TRANSITION ' .. known[4] .. ' ' .. status)
end
finish(session, clock(), status, reason)
if result ~= '' then redis.call('HSET', session, 'result', result) end
return answer(session, messages, known, batch, '')
