-- Look for an append that left no recorded result, because its message says all: append_one appended it as one message, and nothing
-- but such appends changed the list since. The field `recent` has one byte for each of the newest revisions, up to 64: the mark of
-- such an append, or 0 for another change. Return its result, or nil. Marks can be the same, so the message must have the batch ID.
--- include: recent_mark message_batch parse_counters parse_layout
local function find_recent(session, messages, batch)
  local recent, counters, layout = unpack(redis.call('HMGET', session, 'recent', 'counters', 'layout'))
  local mark = recent_mark(batch)
  local at = recent and string.find(recent, mark, 1, true)
  while at do
    local behind = #recent - at
    for slot = at + 1, #recent do
      if string.byte(recent, slot) == 0 then behind = behind - 1 end
    end
    local message = redis.call('LINDEX', messages, -behind - 1)
    if message and message_batch(message) == batch then
      counters = parse_counters(counters)
      local seq, dropped = counters.last_seq - behind, counters.dropped - parse_layout(layout).kept
      for _, later in ipairs(behind > 0 and redis.call('LRANGE', messages, -behind, -1) or {}) do
        dropped = dropped - (string.byte(later, 8) or 48) + 48
      end
      return string.format('%d %d %d %d %d ok', seq, seq, counters.rev - #recent + at, seq - dropped, dropped)
    end
    at = string.find(recent, mark, at + 1, true)
  end
end
