-- Copy what a session retains into a new session, as far as the new one's cap allows: messages with their seqs, kept ones, and
-- the system prompt. `boundary(messages, counters, layout)` returns how many messages of the list are copied, those up to the seq
-- `up_to`, or nil and a refusal. Without `boundary` all is copied but a call that waits for its result. `caps` is '<max_messages>
-- <cap_policy> …' of the new session. A long transcript was copied to `copy` and `kept_copy` before, by messages/copy_part, when
-- the session had `copied_rev`. Return the new session's counters, or nil and a refusal, also when more than half of another cap
-- would be pinned.
--- include: read_fields check_pin_limit parse_counters parse_layout list_index list_seq message_kind message_facts plan_truncation
--- include: kept_seqs set_kept_seqs check_list trim_transcript save_layout format_counters
local function copy_transcript(session, messages, child, child_messages, caps, now_us, copy, kept_copy, copied_rev, boundary, up_to,
    plan)
  local fields = read_fields(session, {'counters', 'layout', 'system', 'system_tokens', 'cleared', 'format',
    'settings', 'pins', 'summary'})
  local max_messages, cap_policy = string.match(caps, '^(%d+) (%S+)')
  local pins, refusal = (fields.pins or 0) + 0, nil
  if string.match(fields.settings, '^%d+') ~= max_messages then
    pins, refusal = check_pin_limit(session, 0, max_messages + 0)
    if refusal then return nil, refusal end
  end
  local counters, layout = parse_counters(fields.counters), parse_layout(fields.layout)
  refusal = check_list(messages, counters)
  if refusal then return nil, refusal end
  local dropped, last_seq = counters.dropped, counters.last_seq
  local staying = last_seq - dropped
  local is_copied = copied_rev == counters.rev and redis.call('LLEN', copy) == staying
    and redis.call('HLEN', kept_copy) == layout.kept
  local is_long, going = counters.bytes > 2000000 or staying + layout.kept > 2000, {}
  if boundary then
    staying, refusal = boundary(messages, counters, layout)
    if not staying then return nil, refusal end
  else
    local call = layout.open[#layout.open]
    if call then staying = math.max(list_index(call[2], dropped, layout.gaps), 0) end
    while staying > 0 do -- parallel calls and their reasoning go together
      local before = redis.call('LINDEX', messages, staying - 1)
      local is_part = call and message_kind(before) == 'c' or string.find(message_facts(before), '~', 1, true)
      if not is_part then break end
      staying = staying - 1
    end
  end
  if is_long and not is_copied then return nil, redis.error_reply('NEED_COPY ' .. counters.rev) end -- when nothing else refuses
  if staying < last_seq - dropped then
    local new_last = list_seq(math.max(staying - 1, 0), dropped, layout.gaps) - (staying > 0 and 0 or 1)
    if staying == 0 and up_to then new_last = math.min(new_last, up_to) end
    local is_planned, gone, unpinned = plan_truncation(session, messages, counters, layout, new_last, plan)
    if not is_planned then return nil, gone end
    going = gone
    layout.gaps = string.gsub(layout.gaps, ',?%d+%-' .. string.format('%.0f', last_seq) .. '$', '')
    counters.last_seq, counters.dropped = new_last, new_last - staying
    pins = new_last > 0 and pins - unpinned or 0
  end
  layout.open, layout.binds_next = {}, false
  redis.call('DEL', child_messages)
  if is_copied and staying > 0 then
    redis.call('LTRIM', copy, 0, staying - 1)
    redis.call('PERSIST', copy)
    redis.call('RENAME', copy, child_messages)
  end
  for first = 0, is_copied and -1 or staying - 1, 100 do
    redis.call('RPUSH', child_messages, unpack(redis.call('LRANGE', messages, first, math.min(first + 99, staying - 1))))
  end
  local seqs = kept_seqs(session, layout)
  if is_copied and #seqs > 0 then
    for _, seq in ipairs(going) do redis.call('HDEL', kept_copy, 'kept.' .. seq) end
    redis.call('PERSIST', kept_copy)
    redis.call('RENAME', kept_copy, child)
  end
  for _, seq in ipairs(is_copied and {} or seqs) do
    local field = 'kept.' .. seq
    redis.call('HSET', child, field, redis.call('HGET', session, field))
  end
  if #seqs > 0 then set_kept_seqs(child, layout, seqs) end
  for _, name in ipairs({'system', 'system_tokens', 'cleared', 'format', 'summary'}) do
    if fields[name] then redis.call('HSET', child, name, fields[name]) end
  end
  if pins > 0 then redis.call('HSET', child, 'pins', pins) end
  trim_transcript(child, child_messages, counters, layout, max_messages + 0, cap_policy, 0)
  save_layout(child, layout)
  counters.rev, counters.operations, counters.updated_us = 0, 0, now_us
  return format_counters(counters)
end
