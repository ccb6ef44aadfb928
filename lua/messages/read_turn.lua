-- Read one turn: a user message and the messages up to the next user message, as far as the cap retained them.
-- Returns {incarnation, last seq, turn number or 0 when there is none, seq of its first message, its messages}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation parse_counters message_kind scan_messages_desc
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local number      = tonumber(ARGV[2]) -- the turn, from 1; or 0 for the last
local max_scanned = tonumber(ARGV[3]) -- how many messages to look at, at most

local found, counters = unpack(redis.call('HMGET', session, 'incarnation', 'counters'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters = parse_counters(counters)
local last_seq, dropped, turn = counters.last_seq, counters.dropped, counters.user_messages + 1
if number == 0 then number = counters.user_messages end
local first, next_turn = 0, last_seq + 1

local function visit(seq, message)
  if message_kind(message) ~= 'u' then return false end
  turn = turn - 1
  if turn == number then first = seq end
  if turn > number then next_turn = seq end
  return turn == number
end

if number >= 1 and number < turn then
  scan_messages_desc(session, messages, dropped, '', last_seq, 0, max_scanned, visit)
end
if first == 0 then return {found, last_seq, 0, 0, {}} end
return {found, last_seq, number, first, redis.call('LRANGE', messages, first - dropped - 1, next_turn - dropped - 2)}
