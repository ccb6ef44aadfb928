-- Grants a session's lease.
local function grant(session, number, nonce, owner, now, ttl)
  redis.call('HSET', session, 'lease', string.format('%d %s %d %s', number, nonce, now + ttl, owner))
end
