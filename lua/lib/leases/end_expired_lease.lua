-- Record that a lease that ran out is free, for a write that found it so. While messages of its time wait in the inbox the record
-- stays, because the next append moves them into the transcript first.
local function end_expired_lease(session, write)
  if write.freed_lease and redis.call('HEXISTS', session, 'inbox') == 0 then
    redis.call('HSET', session, 'lease', write.freed_lease)
  end
end
