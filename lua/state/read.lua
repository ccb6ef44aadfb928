-- Reads all of a session's variables or all of its state.
-- Returns {life, name, value, …}, in no order.
-- Errors: NOT_FOUND REPLACED
--- include: identify
local session = KEYS[1] -- hash
local life    = ARGV[1] -- the incarnation the caller knows, or ''
local prefix  = ARGV[2] -- 'state.' or 'var.'

local found = redis.call('HGET', session, 'life')
local refusal = identify(found, life)
if refusal then return refusal end
local fields, shown = redis.call('HGETALL', session), {found}
for at = 1, #fields, 2 do
  if string.sub(fields[at], 1, #prefix) == prefix then
    shown[#shown + 1], shown[#shown + 2] = string.sub(fields[at], #prefix + 1), fields[at + 1]
  end
end
return shown
