-- Find one turn, a user message and the messages up to the next user message, as far as the cap retained them; and read it, if it
-- has less than about 1 MB. A call looks at a part of the transcript, from the newest message back.
-- Returns {incarnation, last seq, turn number or 0 when there is none, seq of its first message, seq behind its last, its
-- messages or nothing when they are too many, seq of the first one in the list, gaps}; or {incarnation, last seq, -1, seq to go
-- on below, seq behind the last message, number of the turn that begins below}.
-- Errors: SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED
-- Index: none
--- include: check_incarnation check_list parse_counters parse_layout message_kind scan_messages_desc list_index list_seq page_size
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local number      = tonumber(ARGV[2]) -- the turn, from 1; or 0 for the last
local max_scanned = tonumber(ARGV[3]) -- how many messages to look at, at most
local below       = tonumber(ARGV[4]) -- of the call before: the seq to go on below, or 0
local behind      = tonumber(ARGV[5]) -- and the seq behind the last message
local turn        = tonumber(ARGV[6]) -- and the number of the turn above

local found, counters, layout = unpack(redis.call('HMGET', session, 'incarnation', 'counters', 'layout'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters, layout = parse_counters(counters), parse_layout(layout)
refusal = check_list(messages, counters)
if refusal then return refusal end
local last_seq, dropped, gaps = counters.last_seq, counters.dropped, layout.gaps
if below == 0 then below, behind, turn = last_seq + 1, last_seq + 1, counters.user_messages + 1 end
if number == 0 then number = turn - 1 end
local first, head = 0, list_seq(0, dropped, gaps)

local function visit(seq, message) -- before the list, only the newest user message has a number that is known
  if message_kind(message) ~= 'u' or (seq < head and seq ~= counters.user_seq) then return false end
  turn = turn - 1
  if turn == number then first = seq end
  if turn > number then behind = seq end
  return turn == number
end

if number < 1 or number >= turn then return {found, last_seq, 0, 0, 0, {}} end
local next_below = scan_messages_desc(session, messages, counters, layout, below - 1, 0, max_scanned, visit)
if first == 0 and next_below > 0 then return {found, last_seq, -1, next_below, behind, turn} end
if first == 0 then return {found, last_seq, 0, 0, 0, {}} end
local low, found_messages, bytes = list_index(first, dropped, gaps), {}, 0
if low < 0 then -- the task, which the cap moved to the hash
  found_messages[1], low = redis.call('HGET', session, 'kept.' .. first), 0
end
local last, size = list_index(behind, dropped, gaps) - 1, page_size(counters)
for from = low, last, size do
  for _, message in ipairs(redis.call('LRANGE', messages, from, math.min(from + size - 1, last))) do
    found_messages[#found_messages + 1], bytes = message, bytes + #message
  end
  if bytes > 1000000 then
    found_messages = {}
    break
  end
end
return {found, last_seq, number, first, behind, found_messages, list_seq(low, dropped, gaps), gaps}
