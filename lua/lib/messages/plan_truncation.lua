-- Work out what a transcript becomes without the messages above a seq. Nothing is written; `counters` and `layout` are changed.
-- Return how many messages stay in the list, the seqs outside of the list that go, and how many of all that go are pinned.
--- include: is_pinned starts_group message_kind message_facts message_tokens list_index list_seq gaps_with kept_seqs find_back
--- include: reopen_calls
local function plan_truncation(session, messages, counters, layout, after_seq)
  local dropped, last_seq, gaps, length = counters.dropped, counters.last_seq, layout.gaps, counters.last_seq - counters.dropped
  local staying, going, seqs, unpinned = math.max(list_index(after_seq + 1, dropped, gaps), 0), {}, {}, 0
  local function discount(message)
    if is_pinned(message) then unpinned = unpinned + 1 end
    counters.bytes, counters.tokens = counters.bytes - #message, counters.tokens - message_tokens(message)
  end
  for _, seq in ipairs(kept_seqs(session, layout)) do
    if seq > after_seq then
      going[#going + 1] = seq
      discount(redis.call('HGET', session, 'kept.' .. seq))
    else
      seqs[#seqs + 1] = seq
    end
  end
  local is_cut, first_kind, is_open, made, wanted = false, nil, 0, {}, {}
  for first = staying, after_seq > 0 and length - 1 or -1, 64 do
    local page = redis.call('LRANGE', messages, first, first + 63)
    if first == staying then is_cut = not starts_group(page[1]) end
    for _, message in ipairs(page) do
      local kind = message_kind(message)
      discount(message)
      if kind == 'u' then
        counters.user_messages, is_open = counters.user_messages - 1, 1
      elseif kind == 'a' then
        counters.assistant_messages, counters.turns, is_open = counters.assistant_messages - 1, counters.turns - is_open, 0
      end
      if kind == 'u' or kind == 'a' then first_kind = first_kind or kind end
      if is_cut then
        for sign, hash in string.gmatch(message_facts(message), '([-+])(%w+)') do
          if sign == '+' then made[hash] = true elseif not made[hash] then wanted[hash] = true end
        end
      end
    end
  end
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
      if needs_user and kind == 'u' and string.byte(message, 10) % 8 < 2 then
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
  for _, name in ipairs({'user_messages', 'assistant_messages', 'turns', 'bytes', 'tokens'}) do
    counters[name] = after_seq > 0 and math.max(counters[name], 0) or 0 -- 0: those that the cap dropped are not counted, too
  end
  layout.seqs, layout.kept = seqs, #seqs
  if layout.task > after_seq then layout.task = 0 end
  if staying == 0 then
    layout.open, layout.group, layout.binds_next, layout.gaps = {}, 0, false, ''
  elseif staying < length then
    reopen_calls(messages, layout, dropped, staying, after_seq, wanted)
    layout.gaps = gaps_with(gaps, list_seq(staying - 1, dropped, gaps) + 1, last_seq)
  end
  counters.dropped = last_seq - staying
  return staying, going, unpinned
end
