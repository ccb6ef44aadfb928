-- Hands a lease that nobody holds to the first in line who is there, and tells the next one how long to wait.
-- It is handed for a grace of 1 s at the most, so that one who died meanwhile does not hold up the others; the first
-- renewal makes it the whole ttl. The one who asks right now (`mine`) has it at once. Returns the nonce that got it.
local function hand_over(session, number, line, now, mine)
  local granted, left
  redis.call('HSET', session, 'lease', number .. ' - 0 -') -- refused for memory, if at all, before anybody is told
  while line ~= '' do
    local nonce, last, ttl, counted, channel, owner, others =
      string.match(line, '^(%S+) (%d+) (%d+) (%d) (%S+) (%S+)\n()')
    local there = last - now > 0
    if granted then
      if there and tell(counted, channel, nonce, 'held', number, left) then break end
    elseif there then
      left = nonce == mine and ttl + 0 or math.min(ttl, 1000)
      if nonce == mine or tell(counted, channel, nonce, 'granted', number + 1, left) then
        granted, number = nonce, number + 1
        grant(session, number, nonce, owner, now, left)
      end
    end
    line = string.sub(line, others)
  end
  if line ~= '' then
    redis.call('HSET', session, 'line', line)
  else
    redis.call('HDEL', session, 'line')
  end
  return granted
end
