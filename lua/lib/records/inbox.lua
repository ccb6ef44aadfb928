-- The numbers of the first and the last message in the inbox. No record means that the inbox is empty.
local function parse_inbox(text)
  local first, last = string.match(text or '1 0', '^(%d+) (%d+)$')
  return {first = first + 0, last = last + 0, size = last - first + 1}
end

local function format_inbox(inbox)
  return string.format('%d %d', inbox.first, inbox.last)
end
