-- The two bits of a stored message's flag: pinned, and being the result of a tool call.
local function flags(message)
  local bits = string.byte(message, 15)
  return bits % 2 == 1, bits % 4 >= 2
end
