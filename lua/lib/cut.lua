-- How many messages must leave the head so that the policy is kept: at least the excess.
-- The turn policy looks at 256 messages for a turn to start; without one, no orphaned tool result stays at the head.
local function cut(session, messages, count, excess, policy, dropped)
  if excess == 0 and dropped + 0 == (redis.call('HGET', session, 'cleared') or 0) + 0 then return 0 end
  if policy == 'turn' and excess > 0 then
    for ahead, message in ipairs(redis.call('LRANGE', messages, excess, excess + 255)) do
      if string.sub(message, 14, 14) == 'u' then return excess + ahead - 1 end
    end
  end
  while excess < count do
    if string.sub(redis.call('LINDEX', messages, excess), 14, 14) ~= 't' then break end
    excess = excess + 1
  end
  return excess
end
