-- Removes all of a session's variables or all of its state.
-- Returns {life, 'rev removed'}: how many there were. The same batch id again returns its first result.
-- Errors: CHAIN NOT_FOUND REPLACED LOCKED LEASE_LOST NOT_ACTIVE REVISION
--- include: rest counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local batch    = ARGV[2] -- batch id
local lease    = ARGV[3] -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4] -- the rev that must be current, or ''
local prefix   = ARGV[5] -- 'state.' or 'var.'

local known, told = guard(session, family, life, lease, expected, batch)
if told then return told end
local removed = 0
for _, field in ipairs(redis.call('HKEYS', session)) do
  if string.sub(field, 1, #prefix) == prefix then
    removed = removed + redis.call('HDEL', session, field)
  end
end
return answer(session, messages, known, batch, removed)
