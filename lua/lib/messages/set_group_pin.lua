-- Pin or unpin the messages of a group in the list, because a pinned message without the rest of its group is of no use. Return how
-- many messages were changed.
--- include: is_pinned starts_group set_flags
local function set_group_pin(messages, start, pinned)
  local changed, at = 0, start
  local message = redis.call('LINDEX', messages, at)
  repeat
    if is_pinned(message) ~= pinned then
      redis.call('LSET', messages, at, set_flags(message, string.byte(message, 15) + (pinned and 1 or -1)))
      changed = changed + 1
    end
    at = at + 1
    message = redis.call('LINDEX', messages, at)
  until not message or starts_group(message)
  return changed
end
