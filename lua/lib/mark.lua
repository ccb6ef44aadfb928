-- Writes what is there already: behind a repeated call, too, there must be a write that a WAIT can wait for, and a server
-- that is no master any more must say so.
local function mark(session, life)
  redis.call('HSET', session, 'life', life)
end
