-- Write a new session. `caps` is '<max_messages> <cap_policy> <max_message_bytes>'; `fields` are names and values of other
-- fields.
--- include: new_settings new_counters expire_session parse_settings
local function create_session(session, messages, now_ms, now_us, incarnation, caps, ttl_ms, lifetime_ms, fields)
  local text = new_settings(caps, ttl_ms, lifetime_ms, now_ms)
  redis.call('HSET', session, 'incarnation', incarnation, 'status', 'active', 'counters', new_counters(now_us),
    'settings', text, 'created', string.format('%.0f', now_us))
  for at = 1, #fields, 1000 do redis.call('HSET', session, unpack(fields, at, math.min(at + 999, #fields))) end
  if redis.call('EXISTS', messages) == 1 then redis.call('DEL', messages) end
  expire_session(session, messages, now_ms, ttl_ms, parse_settings(text).deadline_ms)
end
