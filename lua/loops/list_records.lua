-- Read a loop's events or turns, from the oldest after a number.
-- Returns {incarnation, number of the first, how many there are, '<ms> <JSON>' …}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED LOOP_NOT_FOUND
-- Index: none
--- include: check_incarnation parse_loop
local session     = KEYS[1]           -- hash
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local loop_id     = ARGV[2]
local kind        = ARGV[3]           -- event or turn
local after       = tonumber(ARGV[4]) -- only numbers above it
local limit       = tonumber(ARGV[5]) -- how many at most

local found, text = unpack(redis.call('HMGET', session, 'incarnation', 'loop.' .. loop_id))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
if not text then return redis.error_reply('LOOP_NOT_FOUND ' .. loop_id) end
local loop = parse_loop(text)
local count = kind == 'event' and loop.events or loop.turns
local shown = {found, after + 1, count}
for number = after + 1, math.min(count, after + limit) do
  shown[#shown + 1] = redis.call('HGET', session, string.format('%s.%s %d', kind, loop_id, number))
end
return shown
