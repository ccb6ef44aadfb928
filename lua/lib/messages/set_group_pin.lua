-- Pin or unpin the messages of a group, from an index up to the one before `behind`, because a pinned message without the rest of
-- its group is of no use. Return how many messages were changed.
--- include: is_pinned set_flags
local function set_group_pin(messages, start, behind, pinned)
  local changed = 0
  for first = start, behind - 1, 64 do
    for at, message in ipairs(redis.call('LRANGE', messages, first, math.min(first + 63, behind - 1))) do
      if is_pinned(message) ~= pinned then
        redis.call('LSET', messages, first + at - 1, set_flags(message, string.byte(message, 10) + (pinned and 1 or -1)))
        changed = changed + 1
      end
    end
  end
  return changed
end
