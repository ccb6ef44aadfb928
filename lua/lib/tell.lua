-- Tells a process that waits, on its channel: '<nonce> <word> <fence> <ms>', or '<nonce> <word> <text>'. Returns whether it
-- can have heard it; where receivers are `counted` ('1': no cluster), one that nobody received says that the process is gone.
local function tell(counted, channel, nonce, word, number, left)
  local text = left and string.format('%d %d', number, left) or number
  local heard = redis.pcall('PUBLISH', channel, nonce .. ' ' .. word .. ' ' .. text)
  return type(heard) == 'number' and (heard > 0 or counted == '0') -- else this user may not publish
end
