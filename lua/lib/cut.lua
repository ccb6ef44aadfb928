-- How many messages must leave the head so that the cap holds and the policy is kept: at least the excess.
-- The turn policy looks at 256 messages for a turn to start; without one, no orphaned tool result stays at the head.
local function cut(messages, count, excess, policy)
  if policy == 'oldest' then return excess end
  if policy == 'turn' and excess > 0 then
    for ahead, message in ipairs(redis.call('LRANGE', messages, excess, excess + 255)) do
      if string.sub(message, 14, 14) == 'u' then return excess + ahead - 1 end
    end
  end
  while excess < count do
    local _, tool_result = flags(redis.call('LINDEX', messages, excess))
    if not tool_result then break end
    excess = excess + 1
  end
  return excess
end
