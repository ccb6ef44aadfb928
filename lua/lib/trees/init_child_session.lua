-- Initialise a child's hash. Cap its ttl and its deadline by the parent's. `fields` are names and values of other fields.
-- `idle_ttl` is the parent's ttl while it waits, else false.
--- include: parse_settings new_settings format_settings expire_session
local function init_child_session(child, child_messages, now_ms, now_us, parent_settings, idle_ttl, caps, ttl_ms, lifetime_ms,
    counters, fields)
  local parent = parse_settings(parent_settings)
  parent.ttl_ms = (idle_ttl or parent.ttl_ms) + 0
  if parent.ttl_ms > 0 and (ttl_ms == 0 or ttl_ms > parent.ttl_ms) then ttl_ms = parent.ttl_ms end
  local settings = parse_settings(new_settings(caps, ttl_ms, lifetime_ms, now_ms))
  settings.deadline_ms = math.min(settings.deadline_ms or math.huge, parent.deadline_ms or math.huge)
  if settings.deadline_ms == math.huge then settings.deadline_ms = nil end
  redis.call('HSET', child, 'status', 'active', 'settings', format_settings(settings),
    'created', string.format('%.0f', now_us), 'counters', counters, unpack(fields))
  expire_session(child, child_messages, now_ms, ttl_ms, settings.deadline_ms)
end
