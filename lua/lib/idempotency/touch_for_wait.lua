-- Write a field that is there already, so that a repeated call, too, has a write that WAIT can wait for, and so that a server
-- that is not a master any more refuses it.
local function touch_for_wait(session, incarnation)
  redis.call('HSET', session, 'incarnation', incarnation)
end
