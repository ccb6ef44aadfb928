-- Remove the marks by which a session, or its end, asked to stop (mark_member), because other work begins.
local function drop_request(root, number)
  local marks = redis.call('HGET', root, 'requested')
  if marks then redis.call('HSET', root, 'requested', (string.gsub(marks, ' ' .. number .. '%f[^%d][^ ]*', ''))) end
end
