-- Return the results with one more, and without those of operations that left the window of the last 64.
local function append_result(results, operation, number, result)
  local start, oldest = 1, number - 64
  while true do
    local kept = string.match(results, '^\n%S+ (%d+)', start)
    if not kept or kept + 0 > oldest then break end
    start = string.find(results, '\n', start + 1, true) or #results + 1
  end
  if start > 1 then results = string.sub(results, start) end
  return string.format('%s\n%s %d %s', results, operation, number, result)
end
