-- Read all variables or all state of a session.
-- Returns {incarnation, name, value, …}, in no order.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation
local session     = KEYS[1] -- hash
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''
local prefix      = ARGV[2] -- 'state.' or 'var.'

local found = redis.call('HGET', session, 'incarnation')
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local fields, shown = redis.call('HGETALL', session), {found}
for at = 1, #fields, 2 do
  if string.sub(fields[at], 1, #prefix) == prefix then
    shown[#shown + 1], shown[#shown + 2] = string.sub(fields[at], #prefix + 1), fields[at + 1]
  end
end
return shown
