-- The session's limits. A limit of nil is off.
local function parse_limits(text)
  local max_turns, max_entries, max_duration_ms, action = string.match(text, '^(%S+) (%S+) (%S+) (%S+)$')
  return {
    max_turns = tonumber(max_turns), max_entries = tonumber(max_entries), max_duration_ms = tonumber(max_duration_ms),
    action = action,
  }
end
