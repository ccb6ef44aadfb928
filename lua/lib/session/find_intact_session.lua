-- Return the incarnation of a session that exists and has all its messages; else nil, and whether it exists without them.
--- include: parse_counters
local function find_intact_session(session, messages)
  local incarnation, counters = unpack(redis.call('HMGET', session, 'incarnation', 'counters'))
  if not incarnation then return nil, false end
  counters = parse_counters(counters)
  if redis.call('LLEN', messages) == counters.last_seq - counters.dropped then return incarnation end
  return nil, true
end
