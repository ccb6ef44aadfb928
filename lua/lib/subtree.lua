-- Members below one of a tree whose sessions may still be stored: '<number> <id>', at most so many.
local function subtree(root, top, most)
  local inside, found = {[top + 0] = true}, {}
  for number, record in ipairs(members(root)) do
    local id, parent, status = string.match(record, '^(%S+) (%d+) (%S+)')
    inside[number] = inside[number] or inside[parent + 0]
    if inside[parent + 0] and status ~= 'deleted' and #found < most then found[#found + 1] = number .. ' ' .. id end
  end
  return found
end
