-- Starts a loop in a session: a record of one agent run in it. A batch id starts one.
-- Returns {life, 'rev'}.
-- Errors: CHAIN NOT_FOUND REPLACED NOT_ACTIVE LOCKED LEASE_LOST REVISION LOOP LIMIT
--- include: rest counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer
local session  = KEYS[1]       -- hash
local messages = KEYS[2]       -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]       -- the incarnation the caller knows, or ''
local batch    = ARGV[2]       -- batch id
local lease    = ARGV[3]       -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4]       -- the rev that must be current, or ''
local loop     = ARGV[5]       -- its id
local status   = ARGV[6]       -- pending or running
local config   = ARGV[7]       -- JSON: what it was started with
local extra    = ARGV[8]       -- JSON: its metadata
local most     = tonumber(ARGV[9]) -- how many fields a session may have

local known, told = guard(session, family, life, lease, expected, batch)
if told then return told end
if known[4] ~= 'active' then return redis.error_reply('NOT_ACTIVE ' .. known[4]) end
local field = 'loop.' .. loop
local found = redis.call('HMGET', session, field, 'loops')
if found[1] then return redis.error_reply(string.format('LOOP %s %s %s', loop, string.match(found[1], '%S+'), status)) end
local total = redis.call('HLEN', session) + 4
if total > most then return redis.error_reply(string.format('LIMIT fields %d %d error', total, most)) end
redis.call('HSET', session, field, string.format('%s %s %s - 0 0 0 0 0 0 0 0 0', status, known.now, status == 'running' and known.now or '-'),
  'config.' .. loop, config, 'extra.' .. loop, extra, 'loops', (found[2] and found[2] .. ' ' or '') .. loop)
return answer(session, messages, known, batch, '')
