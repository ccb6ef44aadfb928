-- Return the mark of an operation in the field `recent`: one byte, never 0. The IDs of one process have different marks as long
-- as they differ in the last byte, or by one in the byte before.
local function recent_mark(operation)
  local second, last = string.byte('  ' .. operation, -2, -1)
  return string.char((second * 79 + last) % 255 + 1)
end
