-- Asks a session, and all below it, to stop when it suits them; or, without an argument to do so, says whether it was asked.
-- Returns {life, 'requested' or 'cancelled' or '', reason}: what was asked before.
-- Errors: NOT_FOUND REPLACED CHAIN
--- include: rest identify belong
local session  = KEYS[1]       -- hash
local messages = KEYS[2]       -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]       -- the incarnation the caller knows, or ''
local asked    = ARGV[2]       -- '1': asks it to stop
local reason   = ARGV[3]       -- why, or ''

local known = redis.call('HMGET', session, 'life', 'place', 'status', 'reason')
local refusal = identify(known[1], life)
if refusal then return refusal end
local unknown, unnamed = belong(family, known[2])
if unnamed then return unknown end
local root = family[#family - 1] or session
local number, path = string.match(known[2] or '0 - /0/', '^(%d+) %S+ (%S+)')
local marks, state = redis.call('HMGET', root, 'cancelled', 'cancelled_why', 'requested', 'requested_why'), {'', ''}
if asked == '1' then
  redis.call('HSET', root, 'requested', (marks[3] or '') .. ' ' .. number, 'requested_why', reason)
end
local function meant(numbers)
  for other in string.gmatch(numbers or '', '%d+') do
    if string.find(path, '/' .. other .. '/', 1, true) then return true end
  end
end
if meant(marks[3]) then state = {'requested', marks[4]} end
if meant(marks[1]) then state = {'cancelled', marks[2]} end
if known[3] == 'cancelled' then state = {'cancelled', known[4] or ''} end
return {known[1], state[1], state[2]}
