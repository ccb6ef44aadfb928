-- Do the write of a script, and before that create its session if it does not exist. A session whose write is refused is removed
-- again. The creation stands behind the arguments of the script: incarnation, caps, idle life, whole life, the names and values
-- of fields, and how many arguments these are. The script's first two keys are the session and its messages.
--- include: tail find_intact_session
local function create_then_write(write)
  local session, messages, length = KEYS[1], KEYS[2], #ARGV
  local first = length - ARGV[length]
  local given = tail(ARGV, first)
  for at = length, first, -1 do ARGV[at] = nil end
  local found, is_torn = find_intact_session(session, messages)
  if found then return write() end
  if is_torn then redis.call('DEL', session) end
  --- include: read_clock create_session
  local now_ms, now_us = read_clock()
  given[#given] = nil -- how many there are
  create_session(session, messages, now_ms, now_us, given[1], given[2], tonumber(given[3]), tonumber(given[4]), tail(given, 5))
  local reply = write()
  local refusal = type(reply) == 'table' and reply['err'] -- in quotes, because a field's name is shortened
  if refusal then redis.call('DEL', session, messages) end
  return reply
end
