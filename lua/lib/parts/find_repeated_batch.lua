-- Look for a batch of a part among the messages that came since its first attempt, because its result may have left the window. 2
-- s are added for a clock that another server set. Return its result, or nil; or nil and the refusal when it cannot be known.
--- include: encode_time is_earlier message_batch
local function find_repeated_batch(parts, part, operation, elapsed_ms, now_ms)
  local began, first, last, read = encode_time(now_ms - elapsed_ms - 2000), nil, nil, 0
  for high = part.last_seq, part.first_seq, -20 do
    local fields, is_older = {}, false
    for seq = high, math.max(high - 19, part.first_seq), -1 do fields[#fields + 1] = string.format('message.%d %d', part.number, seq) end
    for at, message in ipairs(redis.call('HMGET', parts, unpack(fields))) do
      if message and message_batch(message) == operation then
        first, last = high - at + 1, last or high - at + 1
      end
      is_older = is_older or (message and is_earlier(message, began))
      read = read + (message and #message or 0)
    end
    if first or is_older then break end
    if read > 1000000 or part.last_seq - high > 5000 then return nil, redis.error_reply('OUTCOME_UNKNOWN ' .. operation) end
  end
  return first and string.format('%d %d %d 0', first, last, part.last_seq - part.first_seq + 1)
end
