-- Look for a batch whose result left the window of recorded results. `elapsed_ms` is the time since its first attempt; 2 s are
-- added, because the clock of the server may have changed with a failover. A thousand messages are read in any case, because a
-- clock may have jumped, and at most 5,000, or 1 MB. Return the reply for the repeated batch, or nil when the batch is not there,
-- or the refusal when all messages of that time were not read, because the cap dropped them or they are too many, so that the
-- outcome is unknown.
--- include: parse_counters parse_layout list_seq message_batch encode_time is_earlier page_size
local function find_batch_in_transcript(messages, counters_text, layout_text, batch, elapsed_ms, now_ms)
  local counters, gaps, first, last = parse_counters(counters_text), parse_layout(layout_text).gaps, nil, nil
  local last_seq, dropped, began, is_older = counters.last_seq, counters.dropped, encode_time(now_ms - elapsed_ms - 2000), false
  local length, bytes, is_cut = last_seq - dropped, 0, false
  local size = page_size(counters)
  for high = length - 1, 0, -size do
    local low = math.max(high - size + 1, 0)
    local page = redis.call('LRANGE', messages, low, high)
    for at = #page, 1, -1 do
      bytes = bytes + #page[at]
      if message_batch(page[at]) == batch then
        first = low + at - 1
        last = last or first
      elseif is_earlier(page[at], began) then
        is_older = true
      end
    end
    if (is_older and length - low >= 1000) or (first and first > low) then break end
    is_cut = low > 0 and not first and (bytes > 1000000 or length - low >= 5000)
    if is_cut then break end
  end
  if first then
    return string.format('%d %d %d %d %d ok', list_seq(first, dropped, gaps),
      list_seq(last, dropped, gaps), counters.rev, last_seq - dropped, dropped)
  end
  if not is_older and counters.operations > 64 and (dropped > 0 or is_cut) then return nil, redis.error_reply('OUTCOME_UNKNOWN ' .. batch) end
end
