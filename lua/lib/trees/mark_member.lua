-- Add a mark to those of a root, `cancelled` or `requested`, once, with the reason. A mark '<number>/<policy><last>' replaces the
-- one with another `last`.
local function mark_member(root, field, mark, reason)
  local marks, sign = redis.call('HGET', root, field) or '', string.match(mark, '^%d+/%l')
  if sign then marks = string.gsub(marks, ' ' .. sign .. '%d+', '') end
  if not string.find(marks .. ' ', ' ' .. mark .. ' ', 1, true) then marks = marks .. ' ' .. mark end
  redis.call('HSET', root, field, marks, field .. '_why', reason)
end
