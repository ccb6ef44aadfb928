-- Refuse a session whose list of messages was evicted, as an append does.
local function check_list(messages, counters)
  if redis.call('LLEN', messages) ~= counters.last_seq - counters.dropped then
    return redis.error_reply('SESSION_NOT_FOUND -')
  end
end
