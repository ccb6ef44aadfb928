-- The header of a stored message: '<13 digits of ms><kind><flags><tokens> <batch ID> <payload>'. Bit 1 of the flags is the pin.
local function message_kind(message)
  return string.sub(message, 14, 14)
end

local function is_pinned(message)
  return string.byte(message, 15) % 2 == 1
end

local function message_tokens(message)
  return string.match(message, '^%d+', 16) + 0
end

local function message_batch(message)
  return string.match(message, '^%d+ (%S+)', 16)
end
