-- Puts a message into a session's inbox, behind what waits there. `known` is as `look` has it. Returns how many wait.
local function post(session, messages, known, entry, ops, batch, now)
  local first, last = string.match(known[10] or '1 0', '(%d+) (%d+)')
  local count = last - first + 2
  redis.call('HSET', session, string.format('inbox.%d', last + 1), entry, 'inbox', string.format('%d %d', first, last + 1))
  note(session, known[3], ops, known[7], batch, string.format('queued %d', count))
  extend(session, messages, now, known[4])
  return count
end
