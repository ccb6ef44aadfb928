-- Replace stored messages of a part by others that mean the same, for example with another key. A message that changed stays.
-- Returns how many messages were replaced.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: tail check_incarnation parse_part format_part parse_part_totals format_part_totals
local session     = KEYS[1]       -- hash
local parts       = KEYS[2]       -- hash: parts with their messages
local incarnation = ARGV[1]       -- the incarnation the caller knows
local name        = ARGV[2]       -- of the part
local values      = tail(ARGV, 3) -- seq, the old message, the new message, …

local found = redis.call('HGET', session, 'incarnation')
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local record, totals = unpack(redis.call('HMGET', parts, 'part.' .. name, 'totals'))
if not record then return 0 end
local part, replaced, added = parse_part(record), 0, 0
totals = parse_part_totals(totals)
for at = 1, #values, 3 do
  local field = string.format('message.%d %s', part.number, values[at])
  if redis.call('HGET', parts, field) == values[at + 1] then
    redis.call('HSET', parts, field, values[at + 2])
    replaced, added = replaced + 1, added + #values[at + 2] - #values[at + 1]
  end
end
part.bytes, totals.bytes = part.bytes + added, totals.bytes + added
if replaced > 0 then redis.call('HSET', parts, 'part.' .. name, format_part(part), 'totals', format_part_totals(totals)) end
return replaced
