-- Move a session's inbox into the transcript, and `own` entries behind it: once, in order, all or none. `loaded` is what
-- load_session returns. With `loaded.answered_by` the messages open a turn. Return the result of append_entries and all messages, or
-- nil and the refusal.
--- include: read_inbox append_entries
local function drain_inbox(session, messages, loaded, own, field, batch, now_ms, now_us)
  local entries, fields = read_inbox(session, loaded.inbox)
  for _, entry in ipairs(own) do entries[#entries + 1] = entry end
  local result, refusal = append_entries(session, messages, loaded, entries, field, batch, now_ms, now_us, #fields)
  if refusal then return nil, refusal end
  for first = 1, #fields, 1000 do
    redis.call('HDEL', session, 'inbox', 'inbox_bytes', unpack(fields, first, math.min(first + 999, #fields)))
  end
  local last_seq = string.match(result, '^%d+ (%d+)') + 0
  if loaded.answered_by then
    --- include: open_turn
    open_turn(session, messages, loaded, entries, last_seq, now_ms)
  end
  local subscribers = redis.call('HGET', session, 'subscribers')
  if subscribers then
    --- include: notify_subscribers
    notify_subscribers(session, subscribers, now_ms, 'new', string.format('%d', last_seq))
  end
  return result, entries
end
