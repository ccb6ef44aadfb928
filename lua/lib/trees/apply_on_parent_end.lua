-- Apply the end of a session to those below it. A cancellation is of all of them. At any other end each child's own policy
-- holds: c cancels it, r asks it to stop, d lets it go on.
--- include: read_tree_members parse_member
local function apply_on_parent_end(root, number, is_cancel, reason)
  local cancelled, requested = {}, {}
  if is_cancel then
    cancelled[1] = number
  else
    for child, record in ipairs(read_tree_members(root)) do
      local member = parse_member(record)
      local numbers = member.on_parent_end == 'c' and cancelled or member.on_parent_end == 'r' and requested
      if numbers and member.parent == number and member.status == 'active' then numbers[#numbers + 1] = child end
    end
  end
  for _, list in ipairs({{'cancelled', cancelled}, {'requested', requested}}) do
    local field, numbers = unpack(list)
    if #numbers > 0 then
      local before = redis.call('HGET', root, field) or ''
      redis.call('HSET', root, field, before .. ' ' .. table.concat(numbers, ' '), field .. '_why', reason)
    end
  end
end
