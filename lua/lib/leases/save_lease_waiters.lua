-- Store the lease waiters of a session, or remove the field when the list is empty.
local function save_lease_waiters(session, waiters)
  if waiters == '' then
    redis.call('HDEL', session, 'lease_waiters')
  else
    redis.call('HSET', session, 'lease_waiters', waiters)
  end
end
