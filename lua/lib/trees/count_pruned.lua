-- Return how many members of a tree have no record any more.
local function count_pruned(root)
  local count = 0
  for first, last in string.gmatch(redis.call('HGET', root, 'pruned') or '', '(%d+)-(%d+)') do
    count = count + last - first + 1
  end
  return count
end
