-- Return the messages in a session's inbox, in order, and the names of their fields.
--- include: parse_inbox
local function read_inbox(session, inbox_text)
  if not inbox_text then return {}, {} end
  local inbox, fields = parse_inbox(inbox_text), {}
  for number = inbox.first, inbox.last do
    fields[#fields + 1] = string.format('inbox.%d', number)
  end
  return redis.call('HMGET', session, unpack(fields)), fields
end
