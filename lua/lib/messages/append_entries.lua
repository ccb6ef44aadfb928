-- Append a batch to the transcript: count, check limits and pins, group, push, trim, record the result, extend the session's
-- life. append_one does the same for one message without a pin of a session without limits.
-- `loaded` holds texts by name: counters, settings, limits, layout, results, recent. A caller may add demands:
-- `expected_rev` and `seen`: the revision, and the least highest seq, that the session must have.
-- `never_ends`: a limit refuses the batch and does not end the session. `is_partial`: the operation goes on, and has no result yet.
-- For an edit: `before_push` removes messages once nothing refuses; `unpinned` and `cleared`: how many pins that takes away, and
-- the seq up to which entries do not count; `kind`: the word with which the result begins.
-- `loaded.is_ended` is true when a limit ended the session. The first `from_inbox` entries came from the inbox, so their size was
-- checked when they were sent.
-- Return '<first> <last> <rev> <count> <dropped> <limit state>' of the other entries, or of all if there are none; or nil and
-- the refusal. 'over <messages>' and 'abandoned <calls>' precede the limit state when the cap could not hold, or gave up calls.
--- include: parse_counters check_list parse_settings parse_entry encode_time record_recent rpush_chunked format_counters
--- include: append_result expire_session
local function append_entries(session, messages, loaded, entries, field, batch, now_ms, now_us, from_inbox)
  local counters, settings = parse_counters(loaded.counters), parse_settings(loaded.settings)
  local max_messages, max_bytes, last_seq = settings.max_messages, settings.max_message_bytes, counters.last_seq
  if loaded.expected_rev and loaded.expected_rev ~= counters.rev then
    return nil, redis.error_reply(string.format('REVISION_CONFLICT %d', counters.rev))
  end
  if loaded.seen and last_seq < loaded.seen then
    return nil, redis.error_reply(string.format('SESSION_REGRESSED %d %d', last_seq, loaded.seen))
  end
  local refusal, state = not loaded.before_push and check_list(messages, counters), 'ok'
  if refusal then return nil, refusal end
  local time, added_pins, old_user_seq = encode_time(now_ms) .. '0', 0, counters.user_seq
  local needs_layout, first = loaded.layout or loaded.before_push, last_seq + 1
  for at, entry in ipairs(entries) do
    local kind, flags, entry_tokens, space = parse_entry(entry)
    local size = #entry - space - #batch - 1
    if at > from_inbox and size > max_bytes then
      return nil, redis.error_reply(string.format('MESSAGE_TOO_LARGE %d %d', size, max_bytes))
    end
    if kind == 117 then -- u
      counters.user_messages, counters.pending_turn, counters.user_seq = counters.user_messages + 1, 1, last_seq + at
    elseif kind == 97 then -- a
      counters.assistant_messages = counters.assistant_messages + 1
      counters.turns, counters.pending_turn = counters.turns + counters.pending_turn, 0
    end
    if flags > 64 then added_pins, needs_layout = added_pins + flags % 2, true end
    counters.bytes, counters.tokens = counters.bytes + #entry + #time, counters.tokens + entry_tokens
    entries[at] = time .. entry
  end
  last_seq = last_seq + #entries
  counters.rev, counters.last_seq, counters.operations = counters.rev + 1, last_seq, counters.operations + (loaded.is_partial and 0 or 1)
  if added_pins > 0 then
    local _
    --- include: check_pin_limit
    _, refusal = check_pin_limit(session, added_pins - (loaded.unpinned or 0), max_messages)
  end
  if loaded.limits and not refusal then
    --- include: enforce_limits
    state, refusal = enforce_limits(session, messages, now_ms, now_us, loaded, last_seq, counters.turns, counters.pending_turn)
  end
  if refusal then return nil, refusal end
  local results = record_recent(session, messages, loaded.recent, field, loaded.results)
  if loaded.before_push then loaded.before_push() end
  if added_pins > 0 then redis.call('HINCRBY', session, 'pins', added_pins) end
  local kept = 0
  if not needs_layout and (max_messages == 0 or last_seq - counters.dropped <= max_messages) then
    rpush_chunked(messages, entries)
  else
    --- include: fit_batch
    counters.plain_after, counters.user_seq = last_seq, old_user_seq
    kept, state = fit_batch(session, messages, loaded, entries, counters, settings, state)
  end
  counters.updated_us = now_us
  local dropped = counters.dropped - kept
  local result = (loaded.kind or '') .. string.format('%d %d %d %d %d %s', from_inbox < #entries and first + from_inbox or first,
    last_seq, counters.rev, last_seq - dropped, dropped, state)
  if not loaded.is_partial then results = append_result(results, batch, counters.operations, result) end
  redis.call('HSET', session, 'counters', format_counters(counters), field, results)
  expire_session(session, messages, now_ms, settings.ttl_ms, settings.deadline_ms)
  return result
end
