-- The session's counters. The words are in the order of their record. The revision, the operations and the newest user message
-- are stored relative to other numbers, because an append of one message then leaves these words as they are.
-- Return the words as texts. All scripts but append_one use parse_counters. `[^ ]` is matched faster than `%d` and `%S`.
local function split_counters(text)
  return string.match(text, '^([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)$')
end

-- Return the counters of a session that was just created, as they are stored.
local function new_counters(now_us)
  return string.format('0 0 0 0 0 0 0 0 0 %x 0 0 0', now_us)
end

-- Return the counters as numbers by name.
local function parse_counters(text)
  --- include: split_counters
  local last_seq, count, bytes, tokens, users, assistants, turns, pending_turn, user_back, updated_us, rev_ahead, operations_ahead,
    plain_after = split_counters(text)
  local rev = last_seq + rev_ahead
  return {
    last_seq = last_seq + 0, rev = rev, dropped = last_seq - count, bytes = bytes + 0, tokens = tokens + 0, user_messages = users + 0,
    assistant_messages = assistants + 0, turns = turns + 0, pending_turn = pending_turn + 0, user_seq = last_seq - user_back,
    updated_us = tonumber(updated_us, 16), operations = rev + operations_ahead, plain_after = plain_after + 0,
  }
end

-- A damaged message that left can have more bytes or tokens than were counted. No counter falls below 0.
local function format_counters(counters)
  local last_seq, rev, max = counters.last_seq, counters.rev, math.max
  return string.format('%d %d %d %d %d %d %d %d %d %x %d %d %d', last_seq, last_seq - counters.dropped, max(counters.bytes, 0),
    max(counters.tokens, 0), counters.user_messages, counters.assistant_messages, counters.turns, counters.pending_turn,
    last_seq - counters.user_seq, counters.updated_us, rev - last_seq, counters.operations - rev, counters.plain_after)
end
