-- Read the newest messages of a range, with those that the cap moved to the hash, in their places. `counters` is parsed, `text`
-- is the layout as it is stored. Return {last seq, dropped, seq of the first listed, listed messages, seqs of kept messages, kept
-- messages, gaps: '<first>-<last>,…' or '', number of all kept messages, 1 if older messages may follow}.
--- include: list_index list_seq page_size
local function read_page(session, messages, counters, text, after, below, limit, max_bytes)
  local last_seq, dropped, gaps, seqs, pinned, kept_count, layout = counters.last_seq, counters.dropped, '', {}, {}, 0, nil
  if text then
    --- include: parse_layout
    layout = parse_layout(text)
    gaps, kept_count = layout.gaps, layout.kept
  end
  local low = list_index(below > 0 and math.min(below, last_seq + 1) or last_seq + 1, dropped, gaps)
  local lowest = math.max(list_index(after + 1, dropped, gaps), 0)
  local left, listed, bytes = math.max(math.min(limit, low - lowest), 0), {}, 0
  if counters.bytes < max_bytes * 2 then
    low = low - left
    if left > 0 then listed = redis.call('LRANGE', messages, low, low + left - 1) end
  else
    --- include: read_backwards
    low, listed, bytes = read_backwards(messages, low, left, max_bytes, page_size(counters))
  end
  local is_cut = low > lowest
  if kept_count > 0 and not is_cut then
    --- include: kept_seqs
    local all, first = kept_seqs(session, layout), 0
    for at = #all, 1, -1 do
      if all[at] <= after then break end
      if below == 0 or all[at] < below then
        is_cut = #listed + #seqs >= limit or bytes > max_bytes
        if is_cut then break end
        first, bytes = at, bytes + redis.call('HSTRLEN', session, 'kept.' .. all[at])
        seqs[#seqs + 1] = all[at]
      end
    end
    for at = 1, #seqs do
      seqs[at] = all[first + at - 1]
      pinned[at] = redis.call('HGET', session, 'kept.' .. seqs[at])
    end
  end
  return {last_seq, dropped, list_seq(low, dropped, gaps), listed, seqs, pinned, gaps, kept_count, is_cut and 1 or 0}
end
