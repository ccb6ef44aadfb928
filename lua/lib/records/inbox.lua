-- The numbers of the first and the last message in the inbox, and how many of them are results of children. No record means that
-- the inbox is empty.
local function parse_inbox(text)
  local first, last, results = string.match(text or '1 0 0', '^(%d+) (%d+) (%d+)$')
  return {first = first + 0, last = last + 0, results = results + 0, size = last - first + 1}
end

local function format_inbox(inbox)
  return string.format('%d %d %d', inbox.first, inbox.last, inbox.results)
end
