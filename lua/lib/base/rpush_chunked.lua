-- Append values to a list, in slices that fit Lua's stack. Return the new length.
local function rpush_chunked(list, values)
  if #values == 1 then return redis.call('RPUSH', list, values[1]) end
  local length
  for first = 1, #values, 1000 do
    length = redis.call('RPUSH', list, unpack(values, first, math.min(first + 999, #values)))
  end
  return length
end
