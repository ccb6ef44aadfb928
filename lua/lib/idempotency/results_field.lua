-- Return the field that keeps the result of an operation: one of sixteen, by the last three bytes of its ID.
-- Sixteen short fields are cheaper to read and rewrite than one long field. One byte is not enough, because the IDs of a
-- fleet advance in step.
local function results_field(operation)
  local third, second, last = string.byte('   ' .. operation, -3, -1)
  return 'results.' .. (third * 121 + second * 79 + last) % 16
end
