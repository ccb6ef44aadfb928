-- Tells a process that waits, on its channel: '<nonce> <word> <fence> <ms>'. Returns whether it can have heard it; where
-- receivers are `counted` ('1': no cluster), one that nobody received says that the process is gone.
local function tell(counted, channel, nonce, word, number, left)
  local heard = redis.pcall('PUBLISH', channel, string.format('%s %s %d %d', nonce, word, number, left))
  return type(heard) == 'number' and (heard > 0 or counted == '0') -- else this user may not publish
end
