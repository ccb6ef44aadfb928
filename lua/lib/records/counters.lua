-- The session's counters, as numbers by name.
--- include: split_counters join_counters
local function parse_counters(text)
  local rev, last_seq, dropped, users, assistants, turns, pending_turn, bytes, tokens, operations, updated_us,
    user_seq = split_counters(text)
  return {
    rev = rev + 0, last_seq = last_seq + 0, dropped = dropped + 0, user_messages = users + 0,
    assistant_messages = assistants + 0, turns = turns + 0, pending_turn = pending_turn + 0, bytes = bytes + 0,
    tokens = tokens + 0, operations = operations + 0, updated_us = updated_us + 0, user_seq = user_seq + 0,
  }
end

local function format_counters(counters)
  return join_counters(counters.rev, counters.last_seq, counters.dropped, counters.user_messages,
    counters.assistant_messages, counters.turns, counters.pending_turn, counters.bytes, counters.tokens,
    counters.operations, counters.updated_us, counters.user_seq)
end
