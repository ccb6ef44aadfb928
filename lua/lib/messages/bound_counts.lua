-- Bound the counters of a transcript that is cut at a seq among messages that the cap dropped. The counters also count dropped
-- messages above the seq, whose kind is not known any more. `seqs` are the messages up to the seq that the hash still holds.
--- include: message_kind
local function bound_counts(session, counters, after_seq, seqs)
  local users, assistants = after_seq, after_seq
  for _, seq in ipairs(seqs) do
    local kind = message_kind(redis.call('HGET', session, 'kept.' .. seq))
    if kind ~= 'u' then users = users - 1 end
    if kind ~= 'a' then assistants = assistants - 1 end
    if kind == 'u' or kind == 'a' then counters.pending_turn = kind == 'u' and 1 or 0 end
  end
  counters.user_messages, counters.assistant_messages = math.min(counters.user_messages, users),
    math.min(counters.assistant_messages, assistants)
  counters.turns = math.min(counters.turns, counters.user_messages, counters.assistant_messages)
end
