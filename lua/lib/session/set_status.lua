-- Write a status and its entry in the status log, and tell the watchers. A final status gets its time and reason.
--- include: log_change
local function set_status(session, now_ms, status, reason)
  redis.call('HSET', session, 'status', status)
  log_change(session, now_ms, status)
  if status == 'active' or status == 'paused' then return end
  redis.call('HSET', session, 'finished', string.format('%d', now_ms))
  if reason ~= '' then redis.call('HSET', session, 'reason', reason) end
end
