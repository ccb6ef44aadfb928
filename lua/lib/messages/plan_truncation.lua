-- Work out what a transcript becomes without the messages above a seq. Nothing is written; `counters` and `layout` are changed.
-- Return how many messages stay in the list, the seqs outside of the list that go, and how many of all that go are pinned. With
-- `plan`, the text of removed_sums or '', not more than about 1 MB is read: return nil and a refusal when more is to be read.
--- include: begins_turn message_kind list_index list_seq gaps_with kept_seqs find_back
--- include: reopen_calls page_size parse_removed_sums add_removed_messages add_removed_kept
local function plan_truncation(session, messages, counters, layout, after_seq, plan)
  local dropped, last_seq, gaps, length = counters.dropped, counters.last_seq, layout.gaps, counters.last_seq - counters.dropped
  local staying, going, seqs = math.max(list_index(after_seq + 1, dropped, gaps), 0), {}, {}
  local sums = parse_removed_sums(plan or '', counters.rev, staying)
  add_removed_messages(messages, sums, after_seq > 0 and length or 0, page_size(counters), plan)
  for _, seq in ipairs(kept_seqs(session, layout)) do
    if seq <= after_seq then seqs[#seqs + 1] = seq else going[#going + 1] = seq end
  end
  if after_seq > 0 then
    if sums.next >= length then add_removed_kept(session, sums, going, length, plan) end
    if sums.next < length + #going then
      --- include: format_removed_sums
      return nil, redis.error_reply('NEED_PLAN ' .. format_removed_sums(sums, counters.rev))
    end
  end
  counters.bytes, counters.tokens = counters.bytes - sums.bytes, counters.tokens - sums.tokens
  counters.user_messages, counters.assistant_messages = counters.user_messages - sums.users, counters.assistant_messages - sums.assistants
  counters.turns = counters.turns - sums.turns
  local first_kind = sums.first_kind
  -- Find the last user message that stays, and if an answer follows it, when the removed messages changed that.
  local needs_kind, needs_user = first_kind, counters.user_seq > after_seq
  if needs_kind or after_seq == 0 then counters.pending_turn = 0 end
  if needs_user then counters.user_seq = 0 end
  if needs_kind or needs_user then
    find_back(messages, staying - 1, function(message, index)
      local kind = message_kind(message)
      if needs_kind and (kind == 'u' or kind == 'a') then
        counters.pending_turn, needs_kind = kind == 'u' and 1 or 0, nil
      end
      if needs_user and begins_turn(message) then
        counters.user_seq, needs_user = list_seq(index, dropped, gaps), false
      end
      return not needs_kind and not needs_user
    end)
  end
  if first_kind == 'a' then counters.turns = counters.turns - counters.pending_turn end
  for at = needs_user and #seqs or 0, 1, -1 do
    if counters.user_seq == 0 and message_kind(redis.call('HGET', session, 'kept.' .. seqs[at])) == 'u' then
      counters.user_seq = seqs[at]
    end
  end
  if after_seq > 0 and staying == 0 and after_seq < list_seq(0, dropped, gaps) - 1 then
    --- include: bound_counts
    bound_counts(session, counters, after_seq, seqs)
  end
  for _, name in ipairs({'user_messages', 'assistant_messages', 'turns', 'bytes', 'tokens'}) do
    counters[name] = after_seq > 0 and math.max(counters[name], 0) or 0 -- 0: those that the cap dropped are not counted, too
  end
  layout.seqs, layout.kept = seqs, #seqs
  if layout.task > after_seq then layout.task = 0 end
  if staying == 0 then
    layout.open, layout.group, layout.binds_next, layout.gaps = {}, 0, false, ''
  elseif staying < length then
    reopen_calls(messages, layout, dropped, staying, after_seq, sums.wanted)
    layout.gaps = gaps_with(gaps, list_seq(staying - 1, dropped, gaps) + 1, last_seq)
  end
  counters.dropped = last_seq - staying
  return staying, going, sums.pinned
end
