-- Reads one turn: a user message and what follows it up to the next one. Only what the cap retained.
-- Returns {life, last seq, turn number or 0 when it is not there, seq of its first message, its messages}.
-- Errors: NOT_FOUND REPLACED
--- include: identify counts backwards
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local number   = tonumber(ARGV[2]) -- the turn, from 1; or 0 for the last
local scan     = tonumber(ARGV[3]) -- how many messages to look at, at the most

local known = redis.call('HMGET', session, 'life', 'counts')
local refusal = identify(known[1], life)
if refusal then return refusal end
local count = counts(known[2])
local last, dropped, turn = count.last, count.dropped, count.users + 1
if number == 0 then number = count.users end
local first, next_turn = 0, last + 1

local function visit(seq, message)
  if string.sub(message, 14, 14) ~= 'u' then return false end
  turn = turn - 1
  if turn == number then first = seq end
  if turn > number then next_turn = seq end
  return turn == number
end

if number >= 1 and number < turn then
  backwards(session, messages, dropped, '', last, 0, scan, visit)
end
if first == 0 then return {known[1], last, 0, 0, {}} end
return {known[1], last, number, first, redis.call('LRANGE', messages, first - dropped - 1, next_turn - dropped - 2)}
