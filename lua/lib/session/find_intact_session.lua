-- Return the incarnation of a session that exists and whose messages were not evicted; else nil, and whether they were.
local function find_intact_session(session, messages)
  local incarnation, counters = unpack(redis.call('HMGET', session, 'incarnation', 'counters'))
  if not incarnation then return nil, false end
  if string.match(counters, '^[^ ]+ 0 ') or redis.call('EXISTS', messages) == 1 then return incarnation end
  return nil, true
end
