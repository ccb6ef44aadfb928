-- The session's settings that every write needs, as texts in their stored order.
local function split_settings(text)
  return string.match(text, '^(%d+) (%S+) (%d+) (%d+) (%S+)$')
end
