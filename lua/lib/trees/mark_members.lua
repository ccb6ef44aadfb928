-- Add numbers of members to the marks of a root, `cancelled` or `requested`, each once, with the reason.
local function mark_members(root, field, numbers, reason)
  if #numbers == 0 then return end
  local marks, is_marked = {redis.call('HGET', root, field) or ''}, {}
  for number in string.gmatch(marks[1], '%d+') do is_marked[number + 0] = true end
  for _, number in ipairs(numbers) do
    if not is_marked[number + 0] then marks[#marks + 1] = ' ' .. number end
  end
  redis.call('HSET', root, field, table.concat(marks), field .. '_why', reason)
end
