-- Return the index with which a part of the range up to an index ends, when the head of the list is replaced in parts: a group
-- ends there, with a message that is not pinned, and the part has about 1 MB or 2,000 messages. A longer group is not divided. A
-- part has at least two messages, because the first one is the summary that the part before left.
--- include: starts_group is_pinned
local function end_of_part(messages, till, size)
  local bytes, best, may_end = 0, nil, false
  for first = 0, till, size do
    for ahead, message in ipairs(redis.call('LRANGE', messages, first, math.min(first + size - 1, till))) do
      local index = first + ahead - 1
      if may_end and index > 1 and starts_group(message) then best = index - 1 end
      if best and (bytes > 1000000 or index > 2000) then return best end
      bytes, may_end = bytes + #message, not is_pinned(message)
    end
  end
  return till
end
