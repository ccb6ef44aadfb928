-- The messages in a session's inbox ('first last', or false), in order, and the names of their fields.
local function waiting(session, inbox)
  if not inbox then return {}, {} end
  local fields, first, last = {}, string.match(inbox, '(%d+) (%d+)')
  for number = first, last do
    fields[#fields + 1] = string.format('inbox.%d', number)
  end
  return redis.call('HMGET', session, unpack(fields)), fields
end
