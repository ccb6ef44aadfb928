-- Return the numbers of a tree's members, ascending, and their stored records; all, or up to `limit` of those behind the number
-- `after`. The third value is true if there are no more. The root's `pruned` has the ranges of the numbers whose records were
-- removed: '<first>-<last>,…'.
--- include: parse_spawn_counts
local function read_tree_members(root, after, limit)
  local tree, pruned = unpack(redis.call('HMGET', root, 'tree', 'pruned'))
  local numbers, fields, records, first, is_end = {}, {}, {}, 1, true
  local ranges = string.format('%s,%d-0', pruned or '', parse_spawn_counts(tree).total + 1)
  for before, last in string.gmatch(ranges, '(%d+)-(%d+)') do
    for number = math.max(first, (after or 0) + 1), before - 1 do
      is_end = #numbers ~= limit
      if not is_end then break end
      numbers[#numbers + 1], fields[#fields + 1] = number, 'member.' .. number
    end
    if not is_end then break end
    first = last + 1
  end
  for at = 1, #fields, 1000 do
    for _, record in ipairs(redis.call('HMGET', root, unpack(fields, at, math.min(at + 999, #fields)))) do
      records[#records + 1] = record
    end
  end
  return numbers, records, is_end
end
