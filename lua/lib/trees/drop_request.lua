-- Remove the mark by which a member of a tree was asked to stop (mark_member), because its next work begins.
local function drop_request(root, number)
  local marks = redis.call('HGET', root, 'requested')
  if not marks then return end
  marks = string.sub(string.gsub(marks .. ' ', ' ' .. number .. ' ', ' '), 1, -2)
  if marks == '' then redis.call('HDEL', root, 'requested', 'requested_why') else redis.call('HSET', root, 'requested', marks) end
end
