-- How many messages of a session are pinned with so many more, or the refusal, second: at most half of the cap.
local function pin(session, more, cap)
  local pins = more + (redis.call('HGET', session, 'pins') or 0)
  if more >= 0 and cap > 0 and pins > cap / 2 then
    return nil, redis.error_reply(string.format('LIMIT pinned %.0f %.0f error', pins, cap / 2))
  end
  return pins
end
