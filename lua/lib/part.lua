-- What a session's end means for those below it: `cancel` is of all of them; else each child's own policy holds (c: cancelled
-- with it, r: asked to stop, d: goes on).
local function part(root, number, cancel, reason)
  local marks = {c = {}, r = {}}
  if cancel then
    marks.c[1] = number
  else
    for child, record in ipairs(members(root)) do
      local parent, status, policy = string.match(record, '^%S+ (%d+) (%S+) (%S)')
      if parent == number and status == 'active' and marks[policy] then table.insert(marks[policy], child) end
    end
  end
  for field, numbers in pairs({cancelled = marks.c, requested = marks.r}) do
    if #numbers > 0 then
      local before = redis.call('HGET', root, field) or ''
      redis.call('HSET', root, field, before .. ' ' .. table.concat(numbers, ' '), field .. '_why', reason)
    end
  end
end
