-- Adds an event or a turn to a loop, numbered in order; or replaces its metadata, or what is known of its group.
-- Returns {life, 'rev number'}; the same batch id again returns its first result.
-- Errors: CHAIN NOT_FOUND REPLACED NOT_ACTIVE LOCKED LEASE_LOST REVISION NO_LOOP LIMIT
--- include: rest counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer
local session  = KEYS[1]       -- hash
local messages = KEYS[2]       -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]       -- the incarnation the caller knows, or ''
local batch    = ARGV[2]       -- batch id
local lease    = ARGV[3]       -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4]       -- the rev that must be current, or ''
local loop     = ARGV[5]       -- its id
local what     = ARGV[6]       -- event, turn, extra or group
local value    = ARGV[7]       -- JSON
local most     = tonumber(ARGV[8]) -- how many fields a session may have

local known, told = guard(session, family, life, lease, expected, batch)
if told then return told end
local field = 'loop.' .. loop
local found = redis.call('HGET', session, field)
if not found then return redis.error_reply('NO_LOOP ' .. loop) end
local total = redis.call('HLEN', session) + 1
if total > most then return redis.error_reply(string.format('LIMIT fields %d %d error', total, most)) end
local head, events, turns, tail = string.match(found, '^(%S+ %S+ %S+ %S+) (%d+) (%d+) (.*)$')
local number = 0
if what == 'event' then
  number, events = events + 1, events + 1
elseif what == 'turn' then
  number, turns = turns + 1, turns + 1
end
if number > 0 then
  redis.call('HSET', session, string.format('%s.%s %d', what, loop, number), known.now .. ' ' .. value,
    field, string.format('%s %d %d %s', head, events, turns, tail))
else
  redis.call('HSET', session, what .. '.' .. loop, value)
end
return answer(session, messages, known, batch, string.format('%d', number))
