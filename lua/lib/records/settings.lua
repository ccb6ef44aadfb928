-- The session's settings that every write needs. The words are in the order of their record.
-- Return the words as texts. All scripts but append_one use parse_settings.
local function split_settings(text)
  return string.match(text, '^([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)$')
end

-- Return the settings of a new session, as they are stored. `caps` is '<max_messages> <cap_policy> <max_message_bytes>'; a
-- lifetime of 0 means no deadline.
local function new_settings(caps, ttl_ms, lifetime_ms, now_ms)
  local deadline = lifetime_ms > 0 and string.format('%d', now_ms + lifetime_ms) or '-'
  return string.format('%s %d %s', caps, ttl_ms, deadline)
end

-- Return the settings by name. A `max_messages` or `ttl_ms` of 0 and a `deadline_ms` of nil mean no bound.
local function parse_settings(text)
  --- include: split_settings
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
