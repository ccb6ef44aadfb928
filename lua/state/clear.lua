-- Removes all of a session's variables or all of its state.
-- Returns {life, 'rev removed'}: how many there were. The same batch id again returns its first result.
-- Errors: NOT_FOUND REPLACED LOCKED LEASE_LOST REVISION
--- include: counts identify bucket recall remember clock fence mark guard expire extend change answer
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local batch    = ARGV[2] -- batch id
local lease    = ARGV[3] -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4] -- the rev that must be current, or ''
local prefix   = ARGV[5] -- 'state.' or 'var.'

local known, told = guard(session, life, lease, expected, batch)
if told then return told end
local removed = 0
for _, field in ipairs(redis.call('HKEYS', session)) do
  if string.sub(field, 1, #prefix) == prefix then
    removed = removed + redis.call('HDEL', session, field)
  end
end
return answer(session, messages, known, batch, removed)
