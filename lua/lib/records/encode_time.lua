-- Return a time in ms as the header of a message has it: five digits of base 93 of the seconds, and two of the rest in ms, the
-- highest first. A digit is the character with the code 33 + digit, from '!' to '}'.
local function encode_time(ms)
  local rest = ms % 1000
  local seconds = (ms - rest) / 1000
  local fifth = seconds % 93
  seconds = (seconds - fifth) / 93
  local fourth = seconds % 93
  seconds = (seconds - fourth) / 93
  local third = seconds % 93
  seconds = (seconds - third) / 93
  local second, last = seconds % 93, rest % 93
  return string.char((seconds - second) / 93 + 33, second + 33, third + 33, fourth + 33, fifth + 33, (rest - last) / 93 + 33,
    last + 33)
end
