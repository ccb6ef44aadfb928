-- Remove messages of parts that were cleared or deleted, and their IDs: up to `limit`, or 2 MB. The field `gone` names them:
-- '<number>:<first>-<last> …'. Return whether some are left.
--- include: message_batch
local function remove_cleared_messages(parts, limit)
  local gone, bytes, step = redis.call('HGET', parts, 'gone') or '', 0, 1
  while gone ~= '' and limit > 0 and bytes < 2000000 do
    local number, first, last = string.match(gone, '^(%d+):(%d+)-(%d+)')
    local stop = math.min(first + step - 1, last + 0)
    local fields, before = {}, bytes
    for seq = first, stop do fields[#fields + 1] = 'message.' .. number .. ' ' .. seq end
    for _, message in ipairs(redis.call('HMGET', parts, unpack(fields))) do
      if message then
        bytes = bytes + #message
        fields[#fields + 1] = 'id.' .. number .. ' ' .. (message_batch(message) or '')
      end
    end
    redis.call('HDEL', parts, unpack(fields))
    limit = limit - step
    step = bytes - before < 100000 and math.min(step * 2, 10) or 1 -- messages of 1 MB are read one by one
    local rest = string.match(gone, ' (.*)$') or ''
    gone = stop < last + 0 and string.format('%d:%d-%d', number, stop + 1, last) .. (rest ~= '' and ' ' .. rest or '') or rest
  end
  if gone == '' then redis.call('HDEL', parts, 'gone') else redis.call('HSET', parts, 'gone', gone) end
  return gone ~= ''
end
