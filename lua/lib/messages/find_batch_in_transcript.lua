-- Look for a batch whose result left the window of recorded results. `elapsed_ms` is the time since its first attempt; 2 s are
-- added for a clock that another server set. Ten pages are read in any case, because a clock may have jumped. A page has 100 messages,
-- or about 1 MB. Return the reply for the repeated batch, or nil when the batch is not there, or the refusal when the cap dropped all
-- messages of that time, so that the outcome is unknown.
--- include: parse_counters parse_layout list_seq message_batch encode_time
local function find_batch_in_transcript(messages, counters_text, layout_text, batch, elapsed_ms, now_ms)
  local counters, gaps, first, last = parse_counters(counters_text), parse_layout(layout_text).gaps, nil, nil
  local last_seq, dropped, began, is_older = counters.last_seq, counters.dropped, encode_time(now_ms - elapsed_ms - 2000), false
  local length = last_seq - dropped
  local size = math.min(math.max(math.floor(1000000 * length / (counters.bytes + 1)), 1), 100)
  for high = length - 1, 0, -size do
    local low = math.max(high - size + 1, 0)
    local page = redis.call('LRANGE', messages, low, high)
    for at = #page, 1, -1 do
      if message_batch(page[at]) == batch then
        first = low + at - 1
        last = last or first
      elseif string.sub(page[at], 1, 7) < began then
        is_older = true
      end
    end
    if (is_older and length - low >= 10 * size) or (first and first > low) then break end
  end
  if first then
    return string.format('%d %d %d %d %d ok', list_seq(first, dropped, gaps),
      list_seq(last, dropped, gaps), counters.rev, last_seq - dropped, dropped)
  end
  if not is_older and counters.operations > 64 and dropped > 0 then return nil, redis.error_reply('OUTCOME_UNKNOWN ' .. batch) end
end
