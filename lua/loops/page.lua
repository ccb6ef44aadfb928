-- Reads a loop's events or turns, from the oldest after a number.
-- Returns {life, number of the first, '<ms> <JSON>' …}.
-- Errors: NOT_FOUND REPLACED NO_LOOP
--- include: identify
local session = KEYS[1]           -- hash
local life    = ARGV[1]           -- the incarnation the caller knows, or ''
local loop    = ARGV[2]           -- its id
local what    = ARGV[3]           -- event or turn
local after   = tonumber(ARGV[4]) -- only numbers above it
local limit   = tonumber(ARGV[5]) -- how many at the most

local known = redis.call('HMGET', session, 'life', 'loop.' .. loop)
local refusal = identify(known[1], life)
if refusal then return refusal end
if not known[2] then return redis.error_reply('NO_LOOP ' .. loop) end
local events, turns = string.match(known[2], '^%S+ %S+ %S+ %S+ (%d+) (%d+)')
local last = math.min((what == 'event' and events or turns) + 0, after + limit)
local shown = {known[1], after + 1}
for number = after + 1, last do
  shown[#shown + 1] = redis.call('HGET', session, string.format('%s.%s %d', what, loop, number))
end
return shown
