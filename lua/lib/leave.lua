-- A line without the one who waits under a nonce.
local function leave(line, nonce)
  local place = string.find(line, nonce .. ' ', 1, true)
  if not place then return line end
  return string.sub(line, 1, place - 1) .. string.sub(line, string.find(line, '\n', place, true) + 1)
end
