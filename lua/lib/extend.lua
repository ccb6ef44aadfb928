-- Extends a session's life as its rules ('cap policy max_bytes ttl deadline') have it, or by another ttl in ms.
local function extend(session, messages, now, rules, other)
  local ttl, deadline = string.match(rules, '(%S+) (%S+)$')
  expire(session, messages, now, other or ttl, deadline)
end
