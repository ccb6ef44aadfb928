-- Appends values to a list, in slices that fit Lua's stack. Returns the new length.
local function push(list, values)
  local length
  for first = 1, #values, 1000 do
    length = redis.call('RPUSH', list, unpack(values, first, math.min(first + 999, #values)))
  end
  return length
end
