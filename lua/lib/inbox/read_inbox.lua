-- Return the messages in a session's inbox, in order, and the names of their fields. With `max_bytes`, return as many as have fewer
-- bytes, one at least and 500 at most.
--- include: parse_inbox
local function read_inbox(session, inbox_text, max_bytes)
  if not inbox_text then return {}, {} end
  local inbox, fields, entries, bytes = parse_inbox(inbox_text), {}, {}, 0
  for number = inbox.first, inbox.last do
    local field = string.format('inbox.%d', number)
    if max_bytes then
      bytes = bytes + redis.call('HSTRLEN', session, field)
      if fields[1] and (bytes > max_bytes or fields[500]) then break end
    end
    fields[#fields + 1] = field
  end
  for first = 1, #fields, 1000 do
    for _, entry in ipairs(redis.call('HMGET', session, unpack(fields, first, math.min(first + 999, #fields)))) do
      entries[#entries + 1] = entry
    end
  end
  return entries, fields
end
