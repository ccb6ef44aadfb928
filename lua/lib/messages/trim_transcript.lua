-- Drop messages from the head until the cap and its policy hold. Return how many messages are listed, how many left the list,
-- how many pinned ones the hash holds, and the bytes and tokens that are gone.
--- include: count_numbers count_messages_to_trim pop_oldest_messages
local function trim_transcript(session, messages, count, dropped, pinned_trimmed, max_messages, cap_policy)
  local pinned, bytes, tokens = count_numbers(pinned_trimmed), 0, 0
  local excess = max_messages > 0 and math.max(count + pinned - max_messages, 0) or 0
  repeat
    local leaving = excess
    if cap_policy ~= 'oldest' then
      leaving = count_messages_to_trim(session, messages, count, excess, cap_policy, dropped)
    end
    local popped_bytes, popped_tokens
    pinned_trimmed, popped_bytes, popped_tokens =
      pop_oldest_messages(session, messages, leaving, dropped, pinned_trimmed)
    pinned, bytes, tokens = count_numbers(pinned_trimmed), bytes + popped_bytes, tokens + popped_tokens
    count, dropped = count - leaving, dropped + leaving
    excess = count + pinned - max_messages
  until max_messages == 0 or excess <= 0
  return count, dropped, pinned, bytes, tokens
end
