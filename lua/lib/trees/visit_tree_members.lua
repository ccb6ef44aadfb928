-- Call `visit(number, record)` for each member of a tree that has a record, ascending, until it returns true.
--- include: read_tree_members
local function visit_tree_members(root, visit)
  local numbers, records, after, is_end = nil, nil, 0, false
  while not is_end do
    numbers, records, is_end = read_tree_members(root, after)
    for at, number in ipairs(numbers) do
      after = number
      if records[at] and visit(number, records[at]) then return end
    end
  end
end
