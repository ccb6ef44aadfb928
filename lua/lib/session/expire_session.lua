-- Give both keys of a session one absolute expiry: `ttl_ms` from now, never past the deadline. A session with neither keeps
-- no expiry. Return that time in ms, or nil. The keys outlive the script, which may write them again: at the deadline the hash keeps
-- its last 0.1 s (PTTL is -1 for a new one), and the list, which may be new, has 0.1 s.
local function expire_session(session, messages, now_ms, ttl_ms, deadline_ms)
  local at = ttl_ms > 0 and now_ms + ttl_ms or deadline_ms
  if not at then return end
  if deadline_ms and deadline_ms < at then at = deadline_ms end
  local left_ms = -1
  if at == deadline_ms and at - now_ms < 100 then at, left_ms = now_ms + 100, redis.call('PTTL', session) end
  local text = string.format('%d', at)
  if left_ms < 0 or left_ms > 100 then redis.call('PEXPIREAT', session, text) end
  redis.call('PEXPIREAT', messages, text)
  return at
end
