-- Gives both keys of a session one absolute expiry: ttl from now, never past its deadline ('-' for none).
-- A session with neither is persistent and keeps no expiry.
local function expire(session, messages, now, ttl, deadline)
  ttl, deadline = ttl + 0, tonumber(deadline)
  local at = ttl > 0 and now + ttl or deadline
  if not at then return end
  if deadline and deadline < at then at = deadline end
  at = string.format('%d', at)
  redis.call('PEXPIREAT', session, at)
  redis.call('PEXPIREAT', messages, at)
end
