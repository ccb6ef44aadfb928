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
local shown = {found}
for _, name in ipairs(redis.call('HKEYS', session)) do -- other fields can hold many messages
  if string.sub(name, 1, #prefix) == prefix then
    shown[#shown + 1], shown[#shown + 2] = string.sub(name, #prefix + 1), redis.call('HGET', session, name)
  end
end
return shown
