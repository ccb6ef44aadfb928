-- Writes a status; a final one gets its time and reason.
local function finish(session, now, status, reason)
  redis.call('HSET', session, 'status', status)
  if status == 'active' or status == 'paused' then return end
  redis.call('HSET', session, 'finished', now)
  if reason ~= '' then redis.call('HSET', session, 'reason', reason) end
end
