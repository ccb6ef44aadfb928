-- The records of a tree's members ('<id> <number of its parent> <status> <policy> <reference>'), by number from 1.
local function members(root)
  local total = string.match(redis.call('HGET', root, 'tree') or '0', '^%d+') + 0
  local found = {}
  for first = 1, total, 1000 do
    local fields = {}
    for number = first, math.min(first + 999, total) do
      fields[#fields + 1] = string.format('member.%d', number)
    end
    for _, record in ipairs(redis.call('HMGET', root, unpack(fields))) do found[#found + 1] = record end
  end
  return found
end
