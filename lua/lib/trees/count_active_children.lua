-- Count the active children of a member of a tree, without those that its end cancelled and that are not finalized yet.
--- include: visit_tree_members parse_member ends_with_parent
local function count_active_children(root, number)
  local last = string.match((redis.call('HGET', root, 'cancelled') or '') .. ' ', ' ' .. number .. '/c(%d+) ')
  local active = 0
  visit_tree_members(root, function(child, record)
    local member = parse_member(record)
    local is_cancelled = last and member.on_parent_end == 'c' and ends_with_parent(child, member.status, last)
    if member.parent == number and member.status == 'active' and not is_cancelled then active = active + 1 end
  end)
  return active
end
