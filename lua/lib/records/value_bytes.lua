-- The sizes of the values that callers name, as the field `value_bytes` has them, and their bounds: '<metadata bytes> <state
-- bytes> <variable bytes> <number of values>'. Return the bytes by the prefix of the fields, and the number.
local function parse_value_bytes(text)
  local meta, state, var, count = string.match(text or '0 0 0 0', '^(%d+) (%d+) (%d+) (%d+)$')
  return {['meta'] = meta + 0, ['state'] = state + 0, ['var'] = var + 0}, count + 0
end

local function format_value_bytes(sizes, count)
  return string.format('%d %d %d %d', sizes['meta'], sizes['state'], sizes['var'], count)
end
