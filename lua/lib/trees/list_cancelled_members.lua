-- Return up to `limit` members that are still active although they, or an ancestor, were cancelled: '<number> <id>'.
--- include: read_tree_members parse_member
local function list_cancelled_members(root, limit)
  local cancelled, found = {}, {}
  for number in string.gmatch(redis.call('HGET', root, 'cancelled') or '', '%d+') do cancelled[number + 0] = true end
  if not next(cancelled) then return found end
  local numbers, records = read_tree_members(root)
  for at, number in ipairs(numbers) do
    local member = parse_member(records[at])
    cancelled[number] = cancelled[number] or cancelled[member.parent + 0]
    if cancelled[number] and member.status == 'active' and #found < limit then
      found[#found + 1] = number .. ' ' .. member.id
    end
  end
  if #found == 0 then redis.call('HDEL', root, 'cancelled', 'cancelled_why') end -- none of them can write or spawn any more
  return found
end
