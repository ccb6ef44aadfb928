-- Return how many messages are pinned with `added` more, or nil and a refusal: at most half of the cap may be pinned.
local function check_pin_limit(session, added, max_messages)
  local pins = added + (redis.call('HGET', session, 'pins') or 0)
  if added >= 0 and max_messages > 0 and pins > max_messages / 2 then
    return nil, redis.error_reply(string.format('LIMIT_EXCEEDED pinned %.0f %.0f error', pins, max_messages / 2))
  end
  return pins
end
