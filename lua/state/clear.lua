-- Removes all of a session's variables or all of its state.
-- Returns {life, rev, how many there were}.
-- Errors: NOT_FOUND REPLACED REVISION
--- include: identify counts guard clock expire extend change
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local expected = ARGV[2] -- the rev that must be current, or ''
local prefix   = ARGV[3] -- 'state.' or 'var.'

local known, refusal = guard(session, life, expected)
if refusal then return refusal end
local removed = 0
for _, field in ipairs(redis.call('HKEYS', session)) do
  if string.sub(field, 1, #prefix) == prefix then
    removed = removed + redis.call('HDEL', session, field)
  end
end
return {known[1], change(session, messages, clock(), known[3], known[2]), removed}
