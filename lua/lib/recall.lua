-- The remembered result of an operation id, or nil. A record is '\n<id> <number> <result>'.
local function recall(records, id)
  local start = string.find(records, '\n' .. id .. ' ', 1, true)
  return start and string.match(records, '^\n%S+ %d+ ([^\n]*)', start)
end
