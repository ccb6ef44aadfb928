-- Read the deltas of the answer that is being made in a session: those behind the ones that the caller knows, oldest first.
-- Returns {incarnation, delta …}, each as messages/publish stores it. Without deltas where no answer is being made.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation parse_delta
local session      = KEYS[1]           -- hash
local deltas       = KEYS[2]           -- list
local incarnation  = ARGV[1]           -- the incarnation the caller knows, or ''
local known_answer = tonumber(ARGV[2]) -- the answer of which the caller knows deltas, or 0
local known_number = tonumber(ARGV[3]) -- the number of the last of them

local found, counters = unpack(redis.call('HMGET', session, 'incarnation', 'counters'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local last = redis.call('LINDEX', deltas, -1)
if not last then return {found} end
last = parse_delta(last)
if last.incarnation ~= found or last.seq ~= string.match(counters, '^%d+') then return {found} end
local first = 0
if last.answer == known_answer then
  first = known_number + 1 - parse_delta(redis.call('LINDEX', deltas, 0)).number
end
local reply = redis.call('LRANGE', deltas, math.max(first, 0), -1)
table.insert(reply, 1, found)
return reply
