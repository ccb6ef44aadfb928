-- Reads some fields of sessions, as lists show them; where they may be apart, of one.
-- Returns {{value, …}, …}; of a session that is gone no value is there.
--- include: rest
local sessions = rest(KEYS, 1) -- hashes
local fields   = rest(ARGV, 1)

for at, session in ipairs(sessions) do
  local found = redis.pcall('HMGET', session, unpack(fields))
  sessions[at] = found.err and {} or found
end
return sessions
