-- Look for an append by append_one, which records no result: its message says all while nothing but such appends change the list.
-- The field `recent` has one byte for each of the newest 64 revisions: the mark of such an append, or 0 for another change. Return
-- the result of the append, or nil.
--- include: recent_mark find_marked parse_counters parse_layout
local function find_recent(session, messages, recent, batch)
  if not recent then return end
  local behind, at = find_marked(messages, recent, recent_mark(batch), batch)
  if not behind then return end
  local counters, layout = unpack(redis.call('HMGET', session, 'counters', 'layout'))
  counters = parse_counters(counters)
  local seq, dropped = counters.last_seq - behind, counters.dropped - parse_layout(layout).kept
  for _, later in ipairs(behind > 0 and redis.call('LRANGE', messages, -behind, -1) or {}) do
    dropped = dropped - (string.byte(later, 8) or 48) + 48
  end
  return string.format('%d %d %d %d %d ok', seq, seq, counters.rev - #recent + at, seq - dropped, dropped)
end
