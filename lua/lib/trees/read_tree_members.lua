-- Return the numbers of up to 1,000 members of a tree behind the number `after`, ascending, and their stored records. The third
-- value is true if there are no more. The root's `pruned` has the ranges of the numbers whose records were removed:
-- '<first>-<last>,…'.
--- include: parse_spawn_counts
local function read_tree_members(root, after)
  local tree, pruned = unpack(redis.call('HMGET', root, 'tree', 'pruned'))
  local numbers, fields, first = {}, {}, 1
  local ranges = string.format('%s,%d-0', pruned or '', parse_spawn_counts(tree).total + 1)
  for before, last in string.gmatch(ranges, '(%d+)-(%d+)') do
    for number = math.max(first, after + 1), before - 1 do
      if #numbers == 1000 then return numbers, redis.call('HMGET', root, unpack(fields)), false end
      numbers[#numbers + 1], fields[#fields + 1] = number, 'member.' .. number
    end
    first = last + 1
  end
  return numbers, fields[1] and redis.call('HMGET', root, unpack(fields)) or {}, true
end
