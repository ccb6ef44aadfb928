-- Give both keys of a session one absolute expiry: `ttl_ms` from now, never past the deadline. A session with neither keeps
-- no expiry. Return that time in ms, or nil. The keys stay for 0.1 s, because the script may write them again.
local function expire_session(session, messages, now_ms, ttl_ms, deadline_ms)
  local at = ttl_ms > 0 and now_ms + ttl_ms or deadline_ms
  if not at then return end
  if deadline_ms and deadline_ms < at then at = deadline_ms end
  at = math.max(at, now_ms + 100)
  local text = string.format('%d', at)
  redis.call('PEXPIREAT', session, text)
  redis.call('PEXPIREAT', messages, text)
  return at
end
