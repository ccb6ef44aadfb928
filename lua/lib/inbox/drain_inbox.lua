-- Move a session's inbox into the transcript, and `own` entries behind it: once, in order, all or none. `loaded` is what
-- load_session returns, with what append_entries takes. The messages open a turn if an agent answers the session, unless
-- `loaded.opens_no_turn`. Return the result of append_entries and all messages, or nil and the refusal. Of a long inbox only the
-- oldest messages move, and the third value is NEED_REPEAT. The result of such a step is not recorded, unless
-- `loaded.allows_partial`: then the step is the whole operation.
--- include: read_inbox append_entries
local function drain_inbox(session, messages, loaded, own, field, batch, now_ms, now_us)
  local entries, fields, left = read_inbox(session, loaded.inbox)
  local is_partial = left and not loaded.allows_partial
  if is_partial then own = {} end
  loaded.is_partial = is_partial
  for _, entry in ipairs(own) do entries[#entries + 1] = entry end
  local result, refusal = append_entries(session, messages, loaded, entries, field, batch, now_ms, now_us, #fields)
  loaded.is_partial = nil
  if refusal then return nil, refusal end
  if fields[1] then redis.call('HDEL', session, unpack(fields)) end
  if left then
    --- include: format_inbox
    redis.call('HSET', session, 'inbox', format_inbox(left))
    if left.taken_bytes > 0 then redis.call('HINCRBY', session, 'inbox_bytes', -left.taken_bytes) end -- '-0' is refused
  elseif fields[1] then
    redis.call('HDEL', session, 'inbox', 'inbox_bytes')
  end
  local last_seq = string.match(result, '^%d+ (%d+)') + 0
  if loaded.answered_by and not loaded.opens_no_turn then
    --- include: open_turn
    open_turn(session, messages, loaded, entries, last_seq, now_ms)
  end
  local subscribers = redis.call('HGET', session, 'subscribers')
  if subscribers then
    --- include: notify_subscribers
    notify_subscribers(session, subscribers, now_ms, 'new', string.format('%d', last_seq))
  end
  return result, entries, left and redis.error_reply(string.format('NEED_REPEAT %d', #fields))
end
