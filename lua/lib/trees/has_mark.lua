-- Return whether marks of a root (apply_on_parent_end) are of a session, or of an ancestor, by its path. A path is short, and there
-- can be thousands of marks.
--- include: ends_with_parent
local function has_mark(root, marks, path)
  if not marks then return end
  marks = marks .. ' '
  local parent = '-' -- the root has none
  for number in string.gmatch(path, '%d+') do
    if string.find(marks, ' ' .. number .. ' ', 1, true) then return true end
    local sign = ' ' .. parent .. '/'
    local at = string.find(marks, sign, 1, true)
    if at then
      local policy, last = string.match(marks, '^(%l)(%d+)', at + #sign)
      local status, own = string.match(redis.call('HGET', root, 'member.' .. number) or '', '^%S+ %d+ (%S+) (%S)')
      if own == policy and ends_with_parent(number, status, last) then return true end
    end
    parent = number
  end
end
