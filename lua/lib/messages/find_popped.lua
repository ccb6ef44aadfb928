-- Look for the messages that an operation popped. Return their seqs, the messages, and whether every message is there that was
-- popped since a time. 2 s are added, because the clock of the server may have changed with a failover.
local function find_popped(popped, operation, since_ms)
  local seqs, found, count, oldest_ms = {}, {}, redis.call('LLEN', popped), 0
  for at = 0, count - 2, 2 do
    local by, at_ms, seq = string.match(redis.call('LINDEX', popped, at), '^(%S+) (%d+) (%d+)$')
    if at == 0 then oldest_ms = at_ms + 0 end
    if by == operation then seqs[#seqs + 1], found[#found + 1] = seq + 0, redis.call('LINDEX', popped, at + 1) end
  end
  return seqs, found, count < 128 or oldest_ms < (since_ms or 0) - 2000
end
