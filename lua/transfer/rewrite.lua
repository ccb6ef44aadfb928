-- Replace stored values of a session by others that mean the same, for example with another key. A value that changed since it
-- was read stays.
-- Returns how many values were replaced.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: tail check_incarnation parse_counters format_counters parse_layout list_index parse_value_bytes format_value_bytes
local session     = KEYS[1]       -- hash
local messages    = KEYS[2]       -- list
local incarnation = ARGV[1]       -- the incarnation the caller knows
local values      = tail(ARGV, 2) -- '#<seq>' of a message in the list or a field, the old value, the new value, …

local found, counters, layout, value_bytes = unpack(redis.call('HMGET', session, 'incarnation', 'counters', 'layout', 'value_bytes'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local replaced, dropped, gaps = 0, nil, parse_layout(layout).gaps
counters = parse_counters(counters)
local sizes, count = parse_value_bytes(value_bytes)
dropped = counters.dropped
for at = 1, #values, 3 do
  local place, before, after = values[at], values[at + 1], values[at + 2]
  local seq = tonumber(string.match(place, '^#(%d+)$'))
  local index = seq and list_index(seq, dropped, gaps)
  local is_listed = index and index >= 0 and redis.call('LINDEX', messages, index) == before
  if is_listed or (not seq and redis.call('HGET', session, place) == before) then
    if is_listed then redis.call('LSET', messages, index, after) else redis.call('HSET', session, place, after) end
    if seq or string.find(place, '^kept%.') then counters.bytes = counters.bytes + #after - #before end
    local prefix = string.match(place, '^(%l+)%.') or ''
    if sizes[prefix] then sizes[prefix] = math.max(sizes[prefix] + #after - #before, 0) end
    replaced = replaced + 1
  end
end
if replaced > 0 then redis.call('HSET', session, 'counters', format_counters(counters)) end
if value_bytes and replaced > 0 then
  redis.call('HSET', session, 'value_bytes', format_value_bytes(sizes, count))
end
return replaced
