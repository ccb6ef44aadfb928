-- Read one turn: a user message and the messages up to the next user message, as far as the cap retained them.
-- Returns {incarnation, last seq, turn number or 0 when there is none, seq of its first message, its messages, seq
-- of the first one in the list, gaps}.
-- Errors: SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED
-- Index: none
--- include: check_incarnation check_list parse_counters parse_layout message_kind scan_messages_desc list_index list_seq
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local number      = tonumber(ARGV[2]) -- the turn, from 1; or 0 for the last
local max_scanned = tonumber(ARGV[3]) -- how many messages to look at, at most

local found, counters, layout = unpack(redis.call('HMGET', session, 'incarnation', 'counters', 'layout'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters, layout = parse_counters(counters), parse_layout(layout)
refusal = check_list(messages, counters)
if refusal then return refusal end
local last_seq, dropped, turn = counters.last_seq, counters.dropped, counters.user_messages + 1
if number == 0 then number = counters.user_messages end
local first, next_turn, head = 0, last_seq + 1, list_seq(0, dropped, layout.gaps)

local function visit(seq, message) -- before the list, only the newest user message has a number that is known
  if message_kind(message) ~= 'u' or (seq < head and seq ~= counters.user_seq) then return false end
  turn = turn - 1
  if turn == number then first = seq end
  if turn > number then next_turn = seq end
  return turn == number
end

if number >= 1 and number < turn then
  scan_messages_desc(session, messages, dropped, layout, last_seq, 0, max_scanned, visit)
end
if first == 0 then return {found, last_seq, 0, 0, {}} end
local low = list_index(first, dropped, layout.gaps)
local found_messages, gaps = {}, layout.gaps
if low < 0 then -- the task, which the cap moved to the hash
  found_messages[1], low = redis.call('HGET', session, 'kept.' .. first), 0
end
for _, message in ipairs(redis.call('LRANGE', messages, low, list_index(next_turn, dropped, gaps) - 1)) do
  found_messages[#found_messages + 1] = message
end
return {found, last_seq, number, first, found_messages, list_seq(low, dropped, gaps), gaps}
