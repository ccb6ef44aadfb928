-- Count a session that begins to wait (`delta` 1), or waits no longer (`delta` -1), for a worker, a time, children or its resume.
-- A session that waits does not expire by its idle ttl: it, and the root of its tree, live for at least 30 days from now. Both
-- hashes have a field `waits.<number>` for each session that waits, so that one counts once however often it is noted, and
-- `waiting`, the number of these fields. `idle_ttl` holds the ttl to which a hash returns when nothing waits any more. `number`
-- is that of the session in its tree, if the session is gone.
--- include: parse_lineage parse_settings format_settings expire_session
local function count_waiting(session, messages, ancestor_keys, now_ms, delta, number)
  local mark = 'waits.' .. (number or parse_lineage(redis.call('HGET', session, 'lineage')).number)
  local keys = {session, messages, ancestor_keys[#ancestor_keys - 1], ancestor_keys[#ancestor_keys]} -- the root's, if it has one
  for at = 1, #keys, 2 do
    local hash = keys[at]
    local text, idle_ttl = unpack(redis.call('HMGET', hash, 'settings', 'idle_ttl'))
    local changed = text and (delta > 0 and redis.call('HSETNX', hash, mark, '1') or delta < 0 and redis.call('HDEL', hash, mark))
    if changed == 1 then
      local settings, count, ttl_ms = parse_settings(text), redis.call('HINCRBY', hash, 'waiting', delta), nil
      if count <= 0 then
        redis.call('HDEL', hash, 'waiting', 'idle_ttl')
        ttl_ms = idle_ttl
      elseif not idle_ttl and settings.ttl_ms > 0 then
        redis.call('HSET', hash, 'idle_ttl', string.format('%d', settings.ttl_ms))
        ttl_ms = math.max(settings.ttl_ms, 2592000000)
      end
      if ttl_ms then
        settings.ttl_ms = ttl_ms + 0
        redis.call('HSET', hash, 'settings', format_settings(settings))
      end
      expire_session(hash, keys[at + 1], now_ms, settings.ttl_ms, settings.deadline_ms)
    end
  end
end
