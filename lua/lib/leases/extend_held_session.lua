-- Extend the life of a session whose lease is held for `lease_ms` from now: by its own idle ttl, and at least for a second more
-- than the lease. Return the idle ttl in ms, 0 for none.
--- include: expire_session
local function extend_held_session(session, messages, now_ms, settings, lease_ms)
  local ttl_ms = settings.ttl_ms > 0 and math.max(settings.ttl_ms, lease_ms + 1000) or 0
  expire_session(session, messages, now_ms, ttl_ms, settings.deadline_ms)
  return settings.ttl_ms
end
