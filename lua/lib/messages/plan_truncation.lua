-- Work out what a transcript becomes without the messages above a seq. Nothing is written; `counters` and `layout` are changed.
-- Return how many messages stay in the list, the seqs outside of the list that go, and how
-- many of all that go are pinned.
--- include: is_pinned message_kind message_tokens list_index list_seq gaps_with find_group_start regroup_messages
local function plan_truncation(session, messages, counters, layout, after_seq)
  local dropped, last_seq, gaps, length = counters.dropped, counters.last_seq, layout.gaps, counters.last_seq - counters.dropped
  local staying, going, aside = math.max(list_index(after_seq + 1, dropped, gaps), 0), {}, {}
  for _, seq in ipairs(layout.aside) do
    if seq > after_seq then going[#going + 1] = seq else aside[#aside + 1] = seq end
  end
  local unpinned = 0
  local function discount(message)
    if is_pinned(message) then unpinned = unpinned + 1 end
    counters.bytes, counters.tokens = counters.bytes - #message, counters.tokens - message_tokens(message)
  end
  for _, seq in ipairs(going) do discount(redis.call('HGET', session, 'kept.' .. seq)) end
  local pending, user_seq, at = 1, 0, staying
  while at > 0 and user_seq == 0 do -- the last user message that stays, and whether an answer follows
    at = at - 1
    local message = redis.call('LINDEX', messages, at)
    local kind = message_kind(message)
    if kind == 'u' and string.byte(message, 15) % 8 < 2 then user_seq = list_seq(at, dropped, gaps) end
    if kind == 'a' then pending = 0 end
  end
  if user_seq == 0 then pending = 0 end
  for at = #aside, 1, -1 do
    if user_seq == 0 and message_kind(redis.call('HGET', session, 'kept.' .. aside[at])) == 'u' then user_seq = aside[at] end
  end
  local is_open = pending
  if after_seq == 0 then -- all messages, those that the cap dropped included
    for _, name in ipairs({'user_messages', 'assistant_messages', 'turns', 'bytes', 'tokens'}) do counters[name] = 0 end
  end
  for first = staying, after_seq > 0 and length - 1 or -1, 16 do
    for _, message in ipairs(redis.call('LRANGE', messages, first, first + 15)) do
      local kind = message_kind(message)
      discount(message)
      if kind == 'u' then
        counters.user_messages, is_open = counters.user_messages - 1, 1
      elseif kind == 'a' then
        counters.assistant_messages, counters.turns, is_open = counters.assistant_messages - 1, counters.turns - is_open, 0
      end
    end
  end
  for _, name in ipairs({'user_messages', 'assistant_messages', 'turns', 'bytes', 'tokens'}) do
    counters[name] = math.max(counters[name], 0)
  end
  counters.pending_turn, counters.user_seq = pending, user_seq
  layout.aside, layout.task, layout.open, layout.group, layout.binds_next = aside, layout.task, {}, 0, false
  if layout.task > after_seq then layout.task = 0 end
  if staying > 0 then
    regroup_messages(messages, layout, dropped, find_group_start(messages, staying - 1) or 0, staying - 1, nil,
      true)
  end
  if staying == 0 then
    layout.gaps = ''
  elseif staying < length then
    layout.gaps = gaps_with(gaps, list_seq(staying - 1, dropped, gaps) + 1, last_seq)
  end
  counters.dropped = last_seq - staying
  return staying, going, unpinned
end
