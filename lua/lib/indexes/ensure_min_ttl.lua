-- Let a key live for at least `ttl_ms`. A day more is given each time, so that the expiry is seldom written.
local function ensure_min_ttl(key, ttl_ms)
  if redis.call('PTTL', key) < ttl_ms then redis.call('PEXPIRE', key, string.format('%d', ttl_ms + 86400000)) end
end
