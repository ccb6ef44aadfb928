-- Changes a session's status. An ended session stays as it ended; the same status again changes nothing. What waits in the
-- inbox is taken into the transcript before the end, unless a limit refuses it.
-- Returns {life, 'rev'}.
-- Errors: NOT_FOUND REPLACED LOCKED LEASE_LOST REVISION TRANSITION
--- include: counts identify bucket recall remember clock fence mark guard expire extend change answer finish
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local batch    = ARGV[2] -- batch id
local lease    = ARGV[3] -- 'fence nonce' of the lease it is made under, '' for none, or '-' for an order that needs none
local expected = ARGV[4] -- the rev that must be current, or ''
local status   = ARGV[5] -- the new one
local reason   = ARGV[6] -- why, or ''
local result   = ARGV[7] -- JSON, or ''

local known, told = guard(session, life, lease, '', batch)
if told then return told end
if known[4] == status then
  mark(session, known[1])
  return {known[1], known[2].rev .. ' '}
end
known, told = guard(session, life, lease, expected, batch)
if told then return told end
if known[4] ~= 'active' and known[4] ~= 'paused' then
  return redis.error_reply('TRANSITION ' .. known[4] .. ' ' .. status)
end
if status ~= 'active' and status ~= 'paused' and redis.call('HEXISTS', session, 'inbox') == 1 then
  --- include: rest push take waiting drain look
  local first = batch .. '.inbox'
  local _, refusal = drain(session, messages, look(session, life, bucket(first)), {}, bucket(first), first, known.now)
  local left = redis.call('HMGET', session, 'counts', bucket(batch))
  if not left[1] then return refusal end
  known[2], known[5] = counts(left[1]), left[2]
end
finish(session, known.now, status, reason)
if result ~= '' then redis.call('HSET', session, 'result', result) end
return answer(session, messages, known, batch, '')
