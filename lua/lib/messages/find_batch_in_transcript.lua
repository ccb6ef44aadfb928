-- Look for a batch whose result left the window of recorded results. `elapsed_ms` is the time since its first attempt; 2 s are
-- added for a clock that another server set. Return the reply for the repeated batch, or nil when the batch is not there, or
-- the refusal when the cap dropped all messages of that time, so that the outcome is unknown.
--- include: parse_counters parse_layout list_seq message_batch encode_time
local function find_batch_in_transcript(messages, counters_text, layout_text, batch, elapsed_ms, now_ms)
  local counters, gaps, first, last = parse_counters(counters_text), parse_layout(layout_text).gaps, nil, nil
  local last_seq, dropped, began, is_older = counters.last_seq, counters.dropped, encode_time(now_ms - elapsed_ms - 2000), false
  for high = last_seq - dropped - 1, 0, -100 do
    local low = math.max(high - 99, 0)
    local page = redis.call('LRANGE', messages, low, high)
    for at = #page, 1, -1 do
      if message_batch(page[at]) == batch then
        first = low + at - 1
        last = last or first
      elseif string.sub(page[at], 1, 7) < began then
        is_older = true
      end
    end
    if is_older or (first and first > low) then break end
  end
  if first then
    return string.format('%d %d %d %d %d ok', list_seq(first, dropped, gaps),
      list_seq(last, dropped, gaps), counters.rev, last_seq - dropped, dropped)
  end
  if not is_older and counters.operations > 64 and dropped > 0 then return nil, redis.error_reply('OUTCOME_UNKNOWN ' .. batch) end
end
