-- Return the settings of a new session. `caps` is '<max_messages> <cap_policy> <max_message_bytes>'; a lifetime of 0 means
-- no deadline.
local function new_settings(caps, ttl_ms, lifetime_ms, now_ms)
  local deadline = lifetime_ms > 0 and string.format('%d', now_ms + lifetime_ms) or '-'
  return string.format('%s %d %s', caps, ttl_ms, deadline)
end
