-- Return how many messages must leave the head so that the cap holds: `excess`, or more so that the list begins with a group.
-- When the newest group alone is longer than the cap, it is fewer, so that this group stays whole. The policy `turn` looks for a
-- user message among the next 256.
--- include: starts_group message_kind list_index find_back
local function count_messages_to_trim(messages, count, excess, cap_policy, layout, dropped)
  excess = math.max(math.min(excess, count - 1), 0)
  if cap_policy == 'oldest' then return excess end
  if layout.group > 0 and cap_policy ~= 'turn' then -- no group starts behind one that is open
    local newest = list_index(layout.group, dropped, layout.gaps)
    if newest < excess then return math.max(newest, 0) end
  end
  local first, size, start = excess, 1, nil
  while first < count and not (start and first > excess + 255) do
    for ahead, message in ipairs(redis.call('LRANGE', messages, first, first + size - 1)) do
      if starts_group(message) then
        start = start or first + ahead - 1
        if cap_policy ~= 'turn' or message_kind(message) == 'u' then return first + ahead - 1 end
      end
    end
    first, size = first + size, 16
  end
  return start or find_back(messages, excess - 1, starts_group) or excess
end
