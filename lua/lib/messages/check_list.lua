-- Refuse a session whose list of messages is gone, because the server evicted it, or was changed by another than these scripts.
local function check_list(messages, counters)
  local listed, expected = redis.call('LLEN', messages), counters.last_seq - counters.dropped
  if listed == expected then return end
  if listed == 0 then return redis.error_reply('SESSION_NOT_FOUND -') end
  return redis.error_reply(string.format('SESSION_DAMAGED list %d %d', listed, expected))
end
