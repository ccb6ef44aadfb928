-- Return the settings of a new child: its ttl and its deadline are capped by the parent's. `idle_ttl` is the parent's ttl when
-- nothing waits, or false if nothing waits.
--- include: parse_settings new_settings
local function child_settings(parent_settings, idle_ttl, caps, ttl_ms, lifetime_ms, now_ms)
  local parent = parse_settings(parent_settings)
  parent.ttl_ms = (idle_ttl or parent.ttl_ms) + 0
  if parent.ttl_ms > 0 and (ttl_ms == 0 or ttl_ms > parent.ttl_ms) then ttl_ms = parent.ttl_ms end
  local settings = parse_settings(new_settings(caps, ttl_ms, lifetime_ms, now_ms))
  settings.deadline_ms = math.min(settings.deadline_ms or math.huge, parent.deadline_ms or math.huge)
  if settings.deadline_ms == math.huge then settings.deadline_ms = nil end
  return settings
end
