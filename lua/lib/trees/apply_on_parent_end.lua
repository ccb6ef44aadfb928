-- Apply the end of a session to those below it. A cancellation is of all of them. At any other end each child's own policy
-- holds: c cancels it, r asks it to stop, d lets it go on. `children` and `records` are all members of the tree, if they were
-- read.
--- include: read_tree_members mark_members
local function apply_on_parent_end(root, number, is_cancel, reason, children, records)
  local cancelled, requested = {}, {}
  if is_cancel then
    cancelled[1] = number
  else
    if not children then children, records = read_tree_members(root) end
    local active_child = '^%S+ ' .. number .. ' active ([cr])'
    for at, child in ipairs(children) do
      local policy = records[at] and string.match(records[at], active_child)
      local numbers = policy == 'c' and cancelled or policy and requested
      if numbers then numbers[#numbers + 1] = child end
    end
  end
  mark_members(root, 'cancelled', cancelled, reason)
  mark_members(root, 'requested', requested, reason)
end
