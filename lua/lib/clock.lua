-- The server's time in milliseconds since the epoch, as 13 digits.
local function clock()
  local time = redis.call('TIME')
  return time[1] .. string.sub(time[2] + 1000000, 2, 4)
end
