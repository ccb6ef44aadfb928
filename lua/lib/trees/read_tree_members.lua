-- Return the numbers of a tree's members, ascending, and their stored records. The root's `pruned` has the ranges of the numbers
-- whose records were removed: '<first>-<last>,…'.
--- include: parse_spawn_counts
local function read_tree_members(root)
  local tree, pruned = unpack(redis.call('HMGET', root, 'tree', 'pruned'))
  local numbers, fields, records, first = {}, {}, {}, 1
  local ranges = string.format('%s,%d-0', pruned or '', parse_spawn_counts(tree).total + 1)
  for before, last in string.gmatch(ranges, '(%d+)-(%d+)') do
    for number = first, before - 1 do
      numbers[#numbers + 1], fields[#fields + 1] = number, string.format('member.%d', number)
    end
    first = last + 1
  end
  for at = 1, #fields, 1000 do
    for _, record in ipairs(redis.call('HMGET', root, unpack(fields, at, math.min(at + 999, #fields)))) do
      records[#records + 1] = record
    end
  end
  return numbers, records
end
