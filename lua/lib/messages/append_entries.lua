-- Append a batch to the transcript: count, check limits and pins, group, push, trim, record the result, extend the session's life.
-- `loaded` holds texts by name: counters, settings, limits, layout, results; and what the caller expects of the
-- session, if anything: `expected_rev`, and `seen`, the highest seq that the caller knows. The first `from_inbox` entries came
-- from the inbox; their size was checked when they were sent. `enforce` is enforce_limits, given by the caller, so that a
-- script that meets no limit does not define it. So is `loaded.group`, group_call for a batch of one message, or nil.
-- Return '<first> <last> <rev> <count> <dropped> <limit state>' of the other entries, or of all if there are none; or nil and
-- the refusal. 'over <messages>' and 'abandoned <calls>' precede the limit state when the cap could not hold, or gave up calls.
--- include: split_counters split_settings parse_entry rpush_chunked join_counters append_result expire_session
local function append_entries(session, messages, loaded, entries, field, batch, now_ms, now_us, from_inbox, enforce)
  local rev, last_seq, dropped, users, assistants, turns, pending_turn, bytes, tokens, operations, _, user_seq =
    split_counters(loaded.counters)
  local max_messages, cap_policy, max_bytes, ttl_ms, deadline_ms = split_settings(loaded.settings)
  if loaded.expected_rev and loaded.expected_rev ~= rev + 0 then
    return nil, redis.error_reply('REVISION_CONFLICT ' .. rev)
  end
  if loaded.seen and last_seq + 0 < loaded.seen then
    return nil, redis.error_reply('SESSION_REGRESSED ' .. last_seq .. ' ' .. loaded.seen)
  end
  local time, added_pins, payload_at, new_user_seq = string.format('%d', now_ms), 0, #batch + 1, user_seq + 0
  local needs_layout = loaded.layout or loaded.before_push
  max_messages, max_bytes, dropped = max_messages + 0, max_bytes + 0, dropped + 0
  for at, entry in ipairs(entries) do
    local kind, flags, entry_tokens, space = parse_entry(entry)
    if at > from_inbox and #entry - space - payload_at > max_bytes then
      return nil, redis.error_reply('MESSAGE_TOO_LARGE ' .. #entry - space - payload_at .. ' ' .. max_bytes)
    end
    if kind == 117 then -- u
      users, pending_turn, new_user_seq = users + 1, 1, last_seq + at
    elseif kind == 97 then -- a
      assistants, turns, pending_turn = assistants + 1, turns + pending_turn, 0
    end
    if flags > 64 then added_pins, needs_layout = added_pins + flags % 2, true end
    bytes, tokens = bytes + #entry + 13, tokens + entry_tokens
    entries[at] = time .. entry
  end
  local first, state, refusal, _ = last_seq + 1, 'ok', nil, nil
  rev, last_seq, operations = rev + 1, last_seq + #entries, operations + 1
  if added_pins > 0 then
    --- include: check_pin_limit
    _, refusal = check_pin_limit(session, added_pins - (loaded.unpinned or 0), max_messages)
  end
  if loaded.limits and not refusal then
    state, refusal = enforce(session, messages, now_ms, now_us, loaded, last_seq, turns + 0, pending_turn + 0)
  end
  if refusal then return nil, refusal end
  if loaded.before_push then loaded.before_push() end
  if added_pins > 0 then redis.call('HINCRBY', session, 'pins', added_pins) end
  local count, kept, popped, heads, message, layout = last_seq - dropped, 0, 0, nil, nil, nil
  if loaded.group and #entries == 1 and added_pins == 0 then message, layout = loaded.group(entries[1], first, loaded.layout) end
  if message and string.byte(message, 15) % 8 > 1 then new_user_seq = user_seq + 0 end
  local is_simple, excess = message or not needs_layout, count - max_messages
  if is_simple and max_messages > 1 and excess > 0 and excess < 3 and cap_policy ~= 'turn' then
    -- Most sessions at their cap: a message or a short group leaves, and what follows may begin a transcript.
    heads = redis.call('LRANGE', messages, 0, excess + 1)
    for at, head in ipairs(heads) do
      local kind, flags = string.byte(head, 14, 15)
      if at > excess and (flags % 8 < 4 or cap_policy == 'oldest') then popped = at - 1 end
      if popped > 0 or flags % 2 > 0 or flags % 16 > 7 or (kind == 117 and new_user_seq - dropped <= at) then break end
    end
  end
  if is_simple and (max_messages == 0 or excess <= 0 or popped > 0) then
    if message then entries[1] = message end
    if rpush_chunked(messages, entries) ~= count then count = nil end
    if popped > 0 then
      redis.call('LTRIM', messages, popped, -1)
      count, dropped = count and count - popped, dropped + popped
      for at = 1, popped do bytes, tokens = bytes - #heads[at], tokens - string.match(heads[at], '^%d+', 16) end
    end
  else
    --- include: fit_batch
    layout, count, dropped, kept, bytes, tokens, state, new_user_seq = nil, fit_batch(session, messages, loaded, entries, first,
      count, dropped, max_messages, cap_policy, user_seq + 0, bytes, tokens, state)
  end
  if not count then
    redis.call('DEL', session, messages)
    return nil, redis.error_reply('SESSION_NOT_FOUND -')
  end
  local result = string.format('%d %d %d %d %d %s', from_inbox < #entries and first + from_inbox or first,
    last_seq, rev, count + kept, dropped - kept, state)
  local counters = join_counters(rev, last_seq, dropped, users, assistants, turns, pending_turn, bytes, tokens, operations, now_us,
    new_user_seq)
  local results = append_result(loaded.results, batch, operations, result)
  if layout then
    redis.call('HSET', session, 'counters', counters, field, results, 'layout', layout)
  else
    redis.call('HSET', session, 'counters', counters, field, results)
  end
  expire_session(session, messages, now_ms, ttl_ms + 0, tonumber(deadline_ms))
  return result
end
