-- Visit messages from the newest with a seq of at most `high` to the oldest above `after`; the ones outside of the list come
-- last. Stop when `visit(seq, message)` returns true, after `max_scanned` messages, or after 1 MB. Return the seq to go on below,
-- or 0.
--- include: list_index list_seq kept_seqs page_size
local function scan_messages_desc(session, messages, counters, layout, high, after, max_scanned, visit)
  local dropped, gaps, size, largest, ranges, bytes = counters.dropped, layout.gaps, 1, page_size(counters), {}, 0
  local top, low = list_index(high + 1, dropped, gaps) - 1, math.max(list_index(after + 1, dropped, gaps), 0)
  local seq = list_seq(top, dropped, gaps)
  for first, last in string.gmatch(gaps, '(%d+)-(%d+)') do
    if first + 0 <= seq then ranges[#ranges + 1] = {first - 1, last + 0} end
  end
  while top >= low do
    local first = math.max(top - size + 1, low)
    local page = redis.call('LRANGE', messages, first, top)
    for at = #page, 1, -1 do
      if max_scanned == 0 or bytes > 1000000 then return seq + 1 end
      max_scanned, bytes = max_scanned - 1, bytes + #page[at]
      if visit(seq, page[at]) then return 0 end
      seq = seq - 1
      local range = ranges[#ranges]
      if range and range[2] == seq then seq, ranges[#ranges] = range[1], nil end
    end
    top, size = first - 1, math.min(size * 2, largest)
  end
  local seqs = high > 0 and layout.kept > 0 and kept_seqs(session, layout) or {}
  for at = #seqs, 1, -1 do
    if seqs[at] > after and seqs[at] <= high then
      if max_scanned == 0 or bytes > 1000000 then return seqs[at] + 1 end
      local message = redis.call('HGET', session, 'kept.' .. seqs[at])
      max_scanned, bytes = max_scanned - 1, bytes + #message
      if visit(seqs[at], message) then return 0 end
    end
  end
  return 0
end
