-- Copy what a session retains into a child, as far as the child's cap allows: messages with their seqs, pinned ones, and the
-- system prompt. `caps` is '<max_messages> <cap_policy> …' of the child. Return the child's counters, or nil and a refusal when
-- more than half of that cap would be pinned.
--- include: read_fields check_pin_limit parse_counters trim_transcript format_counters
local function copy_transcript(session, messages, child, child_messages, caps, now_us)
  local fields = read_fields(session, {'counters', 'pinned_trimmed', 'pins', 'system', 'system_tokens', 'cleared'})
  local max_messages, cap_policy = string.match(caps, '^(%d+) (%S+)')
  local _, refusal = check_pin_limit(session, 0, max_messages + 0)
  if refusal then return nil, refusal end
  for first = 0, redis.call('LLEN', messages) - 1, 1000 do
    redis.call('RPUSH', child_messages, unpack(redis.call('LRANGE', messages, first, first + 999)))
  end
  for _, name in ipairs({'pinned_trimmed', 'pins', 'system', 'system_tokens', 'cleared'}) do
    if fields[name] then redis.call('HSET', child, name, fields[name]) end
  end
  for seq in string.gmatch(fields.pinned_trimmed or '', '%d+') do
    redis.call('HSET', child, 'pinned.' .. seq, redis.call('HGET', session, 'pinned.' .. seq))
  end
  local counters = parse_counters(fields.counters)
  local _, dropped, _, gone_bytes, gone_tokens = trim_transcript(child, child_messages,
    counters.last_seq - counters.dropped, counters.dropped, fields.pinned_trimmed or '', max_messages + 0, cap_policy)
  counters.rev, counters.operations, counters.updated_us = 0, 0, now_us
  counters.dropped, counters.bytes = dropped, counters.bytes - gone_bytes
  counters.tokens = counters.tokens - gone_tokens
  return format_counters(counters)
end
