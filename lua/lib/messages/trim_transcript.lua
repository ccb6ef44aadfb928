-- Drop messages from the head until the cap and its policy hold. `counters` and `layout` are changed. Not more than about 1 MB or
-- 1,000 messages leave at once, apart from as many as were appended (`added`): after a cap was lowered, the rest leaves with the
-- next appends.
--- include: count_messages_to_trim pop_oldest_messages keep_task
local function trim_transcript(session, messages, counters, layout, max_messages, cap_policy, added)
  local count, popped, popped_bytes = counters.last_seq - counters.dropped, 0, 0
  local step = counters.bytes > 2000000 and 2 or 1000
  while max_messages > 0 and count > 0 and popped_bytes < 1000000 and popped < 1000 + added do
    local excess = math.min(count + layout.kept - max_messages, step)
    local leaving = excess > 0 and count_messages_to_trim(messages, count, excess, cap_policy, layout, counters.dropped) or 0
    if leaving == 0 then break end
    local bytes, tokens, user, user_seq, left_bytes = pop_oldest_messages(session, messages, leaving, counters.dropped, layout)
    count, popped, popped_bytes = count - leaving, popped + leaving, popped_bytes + left_bytes
    counters.dropped = counters.dropped + leaving
    if cap_policy ~= 'oldest' and max_messages > 1 then
      local added_bytes, added_tokens = keep_task(session, messages, layout, counters.dropped, counters.user_seq, user, user_seq)
      bytes, tokens = bytes - added_bytes, tokens - added_tokens
    end
    counters.bytes, counters.tokens = counters.bytes - bytes, counters.tokens - tokens
  end
end
