-- Write a status and its entry in the status log, and tell the watchers. A final status gets its time and reason.
--- include: notify_subscribers
local function set_status(session, now_ms, status, reason)
  local counters, log, subscribers = unpack(redis.call('HMGET', session, 'counters', 'status_log', 'subscribers'))
  log = log or ''
  local number = string.format('%d', (string.match(log, '(%d+) %d+ %d+ %S+\n$') or 0) + 1)
  local change = string.format('%s %s %s %s', number, string.match(counters, '^%d+ (%d+)'),
    string.format('%d', now_ms), status)
  if #log > 1000 then log = string.match(string.sub(log, -1000), '\n(.*)$') end
  redis.call('HSET', session, 'status', status, 'status_log', log .. change .. '\n')
  if subscribers then notify_subscribers(session, subscribers, now_ms, 'status', change) end
  if status == 'active' or status == 'paused' then return end
  redis.call('HSET', session, 'finished', string.format('%d', now_ms))
  if reason ~= '' then redis.call('HSET', session, 'reason', reason) end
end
