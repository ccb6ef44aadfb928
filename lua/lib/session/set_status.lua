-- Write a status with its reason and its entry in the status log, and tell the watchers. A final status gets its time.
--- include: log_change
local function set_status(session, now_ms, status, reason)
  redis.call('HSET', session, 'status', status)
  log_change(session, now_ms, status)
  if reason ~= '' then
    redis.call('HSET', session, 'reason', reason)
  else
    redis.call('HDEL', session, 'reason')
  end
  if status ~= 'active' and status ~= 'paused' then redis.call('HSET', session, 'finished', string.format('%d', now_ms)) end
end
