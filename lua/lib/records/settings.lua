-- The session's settings that every write needs, by name. A `max_messages` or `ttl_ms` of 0 and a `deadline_ms` of nil mean no
-- bound.
--- include: split_settings
local function parse_settings(text)
  local max_messages, cap_policy, max_message_bytes, ttl_ms, deadline_ms = split_settings(text)
  return {
    max_messages = max_messages + 0, cap_policy = cap_policy, max_message_bytes = max_message_bytes + 0,
    ttl_ms = ttl_ms + 0, deadline_ms = tonumber(deadline_ms),
  }
end

local function format_settings(settings)
  return string.format('%d %s %d %d %s', settings.max_messages, settings.cap_policy, settings.max_message_bytes,
    settings.ttl_ms, settings.deadline_ms and string.format('%d', settings.deadline_ms) or '-')
end
