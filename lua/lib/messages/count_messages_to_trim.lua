-- Return how many messages must leave the head so that the cap policy holds: at least `excess`. The policy `turn` looks for a
-- user message among the next 256; without one, no tool result without its call stays at the head.
--- include: message_kind
local function count_messages_to_trim(session, messages, count, excess, cap_policy, dropped)
  if excess == 0 and dropped == (redis.call('HGET', session, 'cleared') or 0) + 0 then return 0 end
  if cap_policy == 'turn' and excess > 0 then
    for ahead, message in ipairs(redis.call('LRANGE', messages, excess, excess + 255)) do
      if message_kind(message) == 'u' then return excess + ahead - 1 end
    end
  end
  while excess < count and message_kind(redis.call('LINDEX', messages, excess)) == 't' do
    excess = excess + 1
  end
  return excess
end
