-- Append a batch to the transcript: count, check limits and pins, push, trim, record the result, extend the session's life.
-- `loaded` holds texts by name: counters, settings, limits, pinned_trimmed, results; and what the caller expects of the
-- session, if anything: `expected_rev`, and `seen`, the highest seq that the caller knows. The first `from_inbox` entries came
-- from the inbox; their size was checked when they were sent. `enforce` is enforce_limits, given by the caller, so that a
-- script that meets no limit does not define it.
-- Return '<first> <last> <rev> <count> <dropped> <limit state>' of the other entries, or of all if there are none; or nil and
-- the refusal.
--- include: split_counters split_settings parse_entry rpush_chunked join_counters append_result expire_session
local function append_entries(session, messages, loaded, entries, field, batch, now_ms, now_us, from_inbox, enforce)
  local rev, last_seq, dropped, users, assistants, turns, pending_turn, bytes, tokens, operations =
    split_counters(loaded.counters)
  local max_messages, cap_policy, max_bytes, ttl_ms, deadline_ms = split_settings(loaded.settings)
  if loaded.expected_rev and loaded.expected_rev ~= rev + 0 then
    return nil, redis.error_reply('REVISION_CONFLICT ' .. rev)
  end
  if loaded.seen and last_seq + 0 < loaded.seen then
    return nil, redis.error_reply('SESSION_REGRESSED ' .. last_seq .. ' ' .. loaded.seen)
  end
  local time, added_pins, payload_at = string.format('%d', now_ms), 0, #batch + 1
  max_messages, max_bytes = max_messages + 0, max_bytes + 0
  for at, entry in ipairs(entries) do
    local kind, flags, entry_tokens, space = parse_entry(entry)
    if at > from_inbox and #entry - space - payload_at > max_bytes then
      return nil, redis.error_reply('MESSAGE_TOO_LARGE ' .. #entry - space - payload_at .. ' ' .. max_bytes)
    end
    if kind == 117 then -- u
      users, pending_turn = users + 1, 1
    elseif kind == 97 then -- a
      assistants, turns, pending_turn = assistants + 1, turns + pending_turn, 0
    end
    added_pins = added_pins + flags % 2
    bytes, tokens = bytes + #entry + 13, tokens + entry_tokens
    entries[at] = time .. entry
  end
  local first, state, refusal, pins = last_seq + 1, 'ok', nil, nil
  rev, last_seq, operations = rev + 1, last_seq + #entries, operations + 1
  if added_pins > 0 then
    --- include: check_pin_limit
    pins, refusal = check_pin_limit(session, added_pins, max_messages)
  end
  if loaded.limits and not refusal then
    state, refusal = enforce(session, messages, now_ms, now_us, loaded, last_seq, turns + 0, pending_turn + 0)
  end
  if refusal then return nil, refusal end
  local count, pinned = rpush_chunked(messages, entries), 0
  if count ~= last_seq - dropped then
    redis.call('DEL', session, messages)
    return nil, redis.error_reply('SESSION_NOT_FOUND its messages were evicted')
  end
  if pins then redis.call('HSET', session, 'pins', pins) end
  if loaded.pinned_trimmed or (max_messages > 0 and count > max_messages) or (first > 1 and count == #entries) then
    --- include: trim_transcript
    local gone_bytes, gone_tokens
    count, dropped, pinned, gone_bytes, gone_tokens = trim_transcript(session, messages, count, dropped + 0,
      loaded.pinned_trimmed or '', max_messages, cap_policy)
    bytes, tokens = bytes - gone_bytes, tokens - gone_tokens
  end
  local result = string.format('%d %d %d %d %d %s', from_inbox < #entries and first + from_inbox or first,
    last_seq, rev, count + pinned, dropped - pinned, state)
  redis.call('HSET', session,
    'counters', join_counters(rev, last_seq, dropped, users, assistants, turns, pending_turn, bytes, tokens, operations, now_us),
    field, append_result(loaded.results, batch, operations, result))
  expire_session(session, messages, now_ms, ttl_ms + 0, tonumber(deadline_ms))
  return result
end
