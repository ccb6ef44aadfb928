-- Return the recorded result of an operation, or nil. A record is '\n<operation ID> <number> <result>'.
local function find_result(results, operation)
  local start = string.find(results, '\n' .. operation .. ' ', 1, true)
  return start and string.match(results, '^\n%S+ %d+ ([^\n]*)', start)
end
