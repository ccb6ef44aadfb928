-- The server's time in milliseconds since the epoch, as 13 digits; three more tell apart what is of one millisecond.
local micros
local function clock()
  local time = redis.call('TIME')
  micros = string.format('%03d', time[2] % 1000)
  return string.format('%s%03d', time[1], math.floor(time[2] / 1000))
end
