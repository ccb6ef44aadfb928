-- Return the index of the first message behind an index that starts a group, or the length of the list.
--- include: starts_group
local function find_next_group(messages, index, length)
  local size = 4
  while index + 1 < length do
    for ahead, message in ipairs(redis.call('LRANGE', messages, index + 1, index + size)) do
      if starts_group(message) then return index + ahead end
    end
    index, size = index + size, math.min(size * 4, 64)
  end
  return length
end
