-- Return the server's time since the epoch, in milliseconds and in microseconds, as numbers.
local function read_clock()
  local time = redis.call('TIME')
  local now_us = time[1] * 1000000 + time[2]
  return math.floor(now_us / 1000), now_us
end
