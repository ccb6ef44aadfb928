-- Set in a hash the field that a session waits (`delta` 1), or remove it (`delta` -1), see count_waiting. Return the new settings of
-- the hash, or nil if nothing changed.
--- include: waiting_fields parse_settings format_settings
local function mark_waiting(hash, number, delta)
  local mark = 'waits.' .. number
  local text, idle_ttl, waiting, is_marked = unpack(redis.call('HMGET', hash, 'settings', 'idle_ttl', 'waiting', mark))
  if not text or (delta > 0) == (is_marked ~= false) then return end
  local settings = parse_settings(text)
  waiting = waiting or 0
  if delta > 0 then
    redis.call('HSET', hash, unpack(waiting_fields(number, waiting, settings, idle_ttl)))
  elseif waiting - 1 > 0 then
    redis.call('HDEL', hash, mark)
    redis.call('HSET', hash, 'waiting', string.format('%d', waiting - 1))
  else
    redis.call('HDEL', hash, mark, 'waiting', 'idle_ttl')
    if idle_ttl then
      settings.ttl_ms = idle_ttl + 0
      redis.call('HSET', hash, 'settings', format_settings(settings))
    end
  end
  return settings
end
