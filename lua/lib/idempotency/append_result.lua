-- Return the results with one more, and without those of operations that left the window of the last 64.
local function append_result(results, operation, number, result)
  results = string.gsub(results, '\n%S+ (%d+)[^\n]*', function(other)
    if other + 64 <= number then return '' end
  end)
  return string.format('%s\n%s %d %s', results, operation, number, result)
end
