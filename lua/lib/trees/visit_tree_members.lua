-- Call `visit(number, record)` for each member of a tree that has a record, ascending, until it returns true. The records are
-- read 500 at a time: long tables of names and values cost twice the time.
--- include: parse_spawn_counts
local function visit_tree_members(root, visit)
  local tree, pruned = unpack(redis.call('HMGET', root, 'tree', 'pruned'))
  local numbers, fields, first = {}, {}, 1
  local function visit_page()
    local records = fields[1] and redis.call('HMGET', root, unpack(fields)) or {}
    for at, record in ipairs(records) do
      if record and visit(numbers[at], record) then return true end
    end
    numbers, fields = {}, {}
  end
  local ranges = string.format('%s,%d-0', pruned or '', parse_spawn_counts(tree).total + 1)
  for before, last in string.gmatch(ranges, '(%d+)-(%d+)') do
    for number = first, before - 1 do
      numbers[#numbers + 1], fields[#fields + 1] = number, 'member.' .. number
      if #fields == 500 and visit_page() then return end
    end
    first = last + 1
  end
  visit_page()
end
