-- Visit messages from the newest with a seq of at most `high` to the oldest above `after`; the ones outside of the list come
-- last. Stop when `visit(seq, message)` returns true, or after `max_scanned` messages. Return the seq to go on below, or 0.
--- include: list_index list_seq kept_seqs
local function scan_messages_desc(session, messages, dropped, layout, high, after, max_scanned, visit)
  local gaps, size, ranges = layout.gaps, 1, {}
  local top, low = list_index(high + 1, dropped, gaps) - 1, math.max(list_index(after + 1, dropped, gaps), 0)
  local seq = list_seq(top, dropped, gaps)
  for first, last in string.gmatch(gaps, '(%d+)-(%d+)') do
    if first + 0 <= seq then ranges[#ranges + 1] = {first - 1, last + 0} end
  end
  while top >= low do
    local first = math.max(top - size + 1, low)
    local page = redis.call('LRANGE', messages, first, top)
    for at = #page, 1, -1 do
      if max_scanned == 0 then return seq + 1 end
      max_scanned = max_scanned - 1
      if visit(seq, page[at]) then return 0 end
      seq = seq - 1
      local range = ranges[#ranges]
      if range and range[2] == seq then seq, ranges[#ranges] = range[1], nil end
    end
    top, size = first - 1, #page[1] > 65536 and 1 or math.min(size * 2, 100)
  end
  for at = layout.kept, 1, -1 do
    local kept = kept_seqs(session, layout)[at]
    if kept > after and kept <= high and visit(kept, redis.call('HGET', session, 'kept.' .. kept)) then return 0 end
  end
  return 0
end
