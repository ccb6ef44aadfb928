-- Return the refusal of a message that must wait in the inbox, or nil if it has room. `max_bytes` bounds what
-- senders may have there: one message fits. Results of children take no room.
--- include: parse_entry parse_settings
local function check_room(session, loaded, inbox, entry, batch, max_bytes)
  local _, _, _, space = parse_entry(entry)
  local size, max_size = #entry - space - #batch - 1, parse_settings(loaded.settings).max_message_bytes
  if size > max_size then return redis.error_reply(string.format('MESSAGE_TOO_LARGE %d %d', size, max_size)) end
  local sent = inbox.size - inbox.results + 1
  if sent > loaded.max_inbox + 0 then
    return redis.error_reply(string.format('LIMIT_EXCEEDED inbox %d %s error', sent, loaded.max_inbox))
  end
  local bytes = #entry + (redis.call('HGET', session, 'inbox_bytes') or 0)
  if sent > 1 and bytes > max_bytes then
    return redis.error_reply(string.format('BOUND_EXCEEDED inbox_bytes %d %d', bytes, max_bytes))
  end
end
