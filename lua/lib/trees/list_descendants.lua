-- Return up to `limit` members below one of a tree whose sessions may still be stored: '<number> <id>'.
--- include: read_tree_members parse_member
local function list_descendants(root, top, limit)
  local inside, found = {[top + 0] = true}, {}
  local numbers, records = read_tree_members(root)
  for at, number in ipairs(numbers) do
    local member = parse_member(records[at])
    inside[number] = inside[number] or inside[member.parent + 0]
    if inside[member.parent + 0] and member.status ~= 'deleted' and #found < limit then
      found[#found + 1] = number .. ' ' .. member.id
    end
  end
  return found
end
