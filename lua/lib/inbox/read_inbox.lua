-- Return the messages in a session's inbox, in order, and the names of their fields.
--- include: parse_inbox
local function read_inbox(session, inbox_text)
  if not inbox_text then return {}, {} end
  local inbox, fields, entries = parse_inbox(inbox_text), {}, {}
  for number = inbox.first, inbox.last do
    fields[#fields + 1] = string.format('inbox.%d', number)
  end
  for first = 1, #fields, 1000 do
    for _, entry in ipairs(redis.call('HMGET', session, unpack(fields, first, math.min(first + 999, #fields)))) do
      entries[#entries + 1] = entry
    end
  end
  return entries, fields
end
