-- The server's time in milliseconds since the epoch, as 13 digits.
local function clock()
  local time = redis.call('TIME')
  return string.format('%s%03d', time[1], math.floor(time[2] / 1000))
end
