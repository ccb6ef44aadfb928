-- Drop messages from the head until the cap and its policy hold. `layout` is changed. Return how many messages are listed, how many
-- seqs are not in the list, and the bytes and tokens that are gone.
--- include: count_messages_to_trim pop_oldest_messages keep_task
local function trim_transcript(session, messages, count, dropped, layout, max_messages, cap_policy, user_seq)
  local bytes, tokens = 0, 0
  while max_messages > 0 and count > 0 do
    local excess = count + layout.kept - max_messages
    local leaving = excess > 0 and count_messages_to_trim(messages, count, excess, cap_policy, layout, dropped) or 0
    if leaving == 0 then break end
    local popped_bytes, popped_tokens, user, popped_seq = pop_oldest_messages(session, messages, leaving, dropped, layout)
    count, dropped = count - leaving, dropped + leaving
    bytes, tokens = bytes + popped_bytes, tokens + popped_tokens
    if cap_policy ~= 'oldest' and max_messages > 1 then
      local added_bytes, added_tokens = keep_task(session, messages, layout, dropped, user_seq, user, popped_seq)
      bytes, tokens = bytes - added_bytes, tokens - added_tokens
    end
  end
  return count, dropped, bytes, tokens
end
