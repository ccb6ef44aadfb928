-- Record a change in the status log, and tell the watchers: a status, or 'edited:<seq>' when messages from a seq on were removed
-- or replaced.
--- include: notify_subscribers
local function log_change(session, now_ms, change)
  local counters, log, subscribers = unpack(redis.call('HMGET', session, 'counters', 'status_log', 'subscribers'))
  log = log or ''
  change = string.format('%d %s %d %s', (string.match(string.sub(log, -100), '(%d+) %d+ %d+ %S+\n$') or 0) + 1,
    string.match(counters, '^%d+'), now_ms, change)
  if #log > 1000 then log = string.match(string.sub(log, -1000), '\n(.*)$') end
  redis.call('HSET', session, 'status_log', log .. change .. '\n')
  if subscribers then notify_subscribers(session, subscribers, now_ms, 'status', change) end
end
