-- Members that are still active although they, or one above them, were cancelled: '<number> <id>', at most so many.
local function below(root, most)
  local cancelled, found = {}, {}
  for number in string.gmatch(redis.call('HGET', root, 'cancelled') or '', '%d+') do cancelled[number + 0] = true end
  if not next(cancelled) then return found end
  for number, record in ipairs(members(root)) do
    local id, parent, status = string.match(record, '^(%S+) (%d+) (%S+)')
    cancelled[number] = cancelled[number] or cancelled[parent + 0]
    if cancelled[number] and status == 'active' and #found < most then found[#found + 1] = number .. ' ' .. id end
  end
  if #found == 0 then redis.call('HDEL', root, 'cancelled', 'cancelled_why') end -- none of them can write or spawn any more
  return found
end
