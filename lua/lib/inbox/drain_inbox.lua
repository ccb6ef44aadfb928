-- Move a session's inbox into the transcript, and `own` entries behind it, in order, all or none. `loaded` is what load_session
-- returns. With `loaded.answered_by` the messages open a turn. Of an inbox of more than 1 MB or 500 messages only the oldest part is
-- moved: if the caller takes it (`loaded.takes_part`), as a whole operation; else `loaded.is_partial` is set, and the refusal asks the
-- client to repeat the call. Return the result of append_entries and all messages, or nil and the refusal.
--- include: read_inbox append_entries
local function drain_inbox(session, messages, loaded, own, field, batch, now_ms, now_us)
  local entries, fields = read_inbox(session, loaded.inbox, 1000000)
  local left, results = nil, loaded.results
  if loaded.inbox then
    --- include: parse_inbox results_field
    left = parse_inbox(loaded.inbox)
    left.first = left.first + #fields
    loaded.is_partial = left.first <= left.last and not loaded.takes_part
    if loaded.is_partial then
      batch, own = '~' .. batch .. '.' .. fields[1], {}
      field = results_field(batch)
      loaded.results = redis.call('HGET', session, field) or ''
    end
  end
  for _, entry in ipairs(own) do entries[#entries + 1] = entry end
  local result, refusal = append_entries(session, messages, loaded, entries, field, batch, now_ms, now_us, #fields)
  if refusal then
    loaded.is_partial, loaded.results = false, results
    return nil, refusal
  end
  if left and left.first <= left.last then
    --- include: format_inbox
    for at = 1, #fields do
      if string.match(entries[at], '^%S+ ~%w+%.result') then left.results = left.results - 1 end -- the result of a child
    end
    redis.call('HDEL', session, unpack(fields))
    redis.call('HSET', session, 'inbox', format_inbox(left))
  elseif left then
    redis.call('HDEL', session, 'inbox', unpack(fields))
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
  if loaded.is_partial then return nil, redis.error_reply('NEED_MORE ' .. #fields) end
  return result, entries, left ~= nil and left.first <= left.last
end
