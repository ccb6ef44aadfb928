-- List parts of a session by name, with their records.
-- Returns {incarnation, name, record, …}: one name more than the limit when others follow.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation
local session     = KEYS[1] -- hash
local parts       = KEYS[2] -- hash: parts with their messages
local part_names  = KEYS[3] -- zset: names of the parts
local incarnation = ARGV[1] -- the incarnation the caller knows, or ''
local prefix      = ARGV[2] -- of the names
local after       = ARGV[3] -- only names behind it, or ''
local limit       = tonumber(ARGV[4])

local found, has_parts = unpack(redis.call('HMGET', session, 'incarnation', 'has_parts'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local shown = {found}
if not has_parts then return shown end
local from = string.sub(after, 1, #prefix) == prefix and '(' .. after or '[' .. prefix
local till = prefix ~= '' and '(' .. prefix .. '\255' or '+'
local names = redis.call('ZRANGEBYLEX', part_names, from, till, 'LIMIT', 0, limit + 1)
for first = 1, #names, 500 do
  local fields = {}
  for at = first, math.min(first + 499, #names) do fields[#fields + 1] = 'part.' .. names[at] end
  for at, record in ipairs(redis.call('HMGET', parts, unpack(fields))) do
    shown[#shown + 1] = names[first + at - 1]
    shown[#shown + 1] = record or ''
  end
end
return shown
