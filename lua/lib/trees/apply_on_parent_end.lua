-- Apply the end of a session to those below it. A cancellation is of all of them. At any other end each child's own policy
-- holds: c cancels it, r asks it to stop, d lets it go on.
--- include: read_tree_members parse_member mark_members
local function apply_on_parent_end(root, number, is_cancel, reason)
  local cancelled, requested = {}, {}
  if is_cancel then
    cancelled[1] = number
  else
    local children, records = read_tree_members(root)
    for at, child in ipairs(children) do
      if string.match(records[at], '^%S+ (%d+) active ') == number then
        local policy = parse_member(records[at]).on_parent_end
        local numbers = policy == 'c' and cancelled or policy == 'r' and requested
        if numbers then numbers[#numbers + 1] = child end
      end
    end
  end
  mark_members(root, 'cancelled', cancelled, reason)
  mark_members(root, 'requested', requested, reason)
end
