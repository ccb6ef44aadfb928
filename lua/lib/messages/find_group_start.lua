-- Return the index of the last message at or before an index that starts a group, or nil when the list has none there.
--- include: starts_group
local function find_group_start(messages, index)
  for at = index, 0, -1 do
    if starts_group(redis.call('LINDEX', messages, at)) then return at end
  end
end
