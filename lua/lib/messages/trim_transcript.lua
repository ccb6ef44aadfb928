-- Drop messages from the head until the cap and its policy hold. `layout` is changed. Not more than about 1 MB or 1,000 messages
-- leave at once, apart from as many as were appended: after a cap was lowered, the rest leaves with the next appends. Return how
-- many messages are listed, how many seqs are not in the list, and the bytes and tokens that are gone.
--- include: count_messages_to_trim pop_oldest_messages keep_task
local function trim_transcript(session, messages, count, dropped, layout, max_messages, cap_policy, user_seq, added, total_bytes)
  local bytes, tokens, popped_bytes, first = 0, 0, 0, count
  local step = total_bytes > 2000000 and 2 or 1000
  while max_messages > 0 and count > 0 and popped_bytes < 1000000 and first - count < 1000 + added do
    local excess = math.min(count + layout.kept - max_messages, step)
    local leaving = excess > 0 and count_messages_to_trim(messages, count, excess, cap_policy, layout, dropped) or 0
    if leaving == 0 then break end
    local gone_bytes, gone_tokens, user, popped_seq, left_bytes = pop_oldest_messages(session, messages, leaving, dropped, layout)
    count, dropped, popped_bytes = count - leaving, dropped + leaving, popped_bytes + left_bytes
    bytes, tokens = bytes + gone_bytes, tokens + gone_tokens
    if cap_policy ~= 'oldest' and max_messages > 1 then
      local added_bytes, added_tokens = keep_task(session, messages, layout, dropped, user_seq, user, popped_seq)
      bytes, tokens = bytes - added_bytes, tokens - added_tokens
    end
  end
  return count, dropped, bytes, tokens
end
