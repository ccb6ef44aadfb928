-- Look for a batch whose result left the window of recorded results. `elapsed_ms` is the time since its first attempt; 2 s are
-- added for a clock that another server set. Return the reply for the repeated batch, or nil when the batch is not there, or
-- the refusal when the cap dropped all messages of that time, so that the outcome is unknown.
--- include: parse_counters message_batch
local function find_batch_in_transcript(messages, loaded, batch, elapsed_ms, now_ms)
  local counters, first, last = parse_counters(loaded.counters), nil, nil
  local last_seq, dropped = counters.last_seq, counters.dropped
  local began_ms, is_older = now_ms - elapsed_ms - 2000, false
  for high = last_seq, dropped + 1, -100 do
    local low = math.max(high - 99, dropped + 1)
    local page = redis.call('LRANGE', messages, low - dropped - 1, high - dropped - 1)
    for at = #page, 1, -1 do
      if message_batch(page[at]) == batch then
        first, last = low + at - 1, last or low + at - 1
      elseif string.sub(page[at], 1, 13) + 0 < began_ms then
        is_older = true
      end
    end
    if is_older or (first and first > low) then break end
  end
  if first then
    return string.format('%s 1 %d %d %d %d %d ok', loaded.incarnation, first, last, counters.rev, last_seq - dropped,
      dropped)
  end
  if not is_older and counters.operations > 64 and dropped > 0 then return redis.error_reply('OUTCOME_UNKNOWN ' .. batch) end
end
