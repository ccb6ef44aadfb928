-- Return the stored records of a tree's members, by number from 1.
--- include: parse_spawn_counts
local function read_tree_members(root)
  local total, records = parse_spawn_counts(redis.call('HGET', root, 'tree')).total, {}
  for first = 1, total, 1000 do
    local fields = {}
    for number = first, math.min(first + 999, total) do
      fields[#fields + 1] = string.format('member.%d', number)
    end
    for _, record in ipairs(redis.call('HMGET', root, unpack(fields))) do records[#records + 1] = record end
  end
  return records
end
