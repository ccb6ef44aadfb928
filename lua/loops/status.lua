-- Changes a loop's status: pending, running, then completed, rejected or aborted, which it stays. The same again changes nothing.
-- Returns {life, 'rev'}.
-- Errors: CHAIN NOT_FOUND REPLACED NOT_ACTIVE LOCKED LEASE_LOST REVISION NO_LOOP LOOP
--- include: rest counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer
local session  = KEYS[1]       -- hash
local messages = KEYS[2]       -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]       -- the incarnation the caller knows, or ''
local batch    = ARGV[2]       -- batch id
local lease    = ARGV[3]       -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4]       -- the rev that must be current, or ''
local loop     = ARGV[5]       -- its id
local status   = ARGV[6]       -- the new one
local reason   = ARGV[7]       -- why, or ''

local known, told = guard(session, family, life, lease, expected, batch)
if told then return told end
local field = 'loop.' .. loop
local found = redis.call('HGET', session, field)
if not found then return redis.error_reply('NO_LOOP ' .. loop) end
local before, created, started, _, sums = string.match(found, '^(%S+) (%S+) (%S+) (%S+) (.*)$')
if before == status then
  mark(session, known[1])
  return {known[1], known[2].rev .. ' '}
end
local is_open = before == 'pending' or before == 'running'
if not is_open or status == 'pending' or (before == 'pending' and status == 'completed') then
  return redis.error_reply(string.format('LOOP %s %s %s', loop, before, status))
end
local now, is_over = known.now, status ~= 'running'
redis.call('HSET', session, field,
  string.format('%s %s %s %s %s', status, created, is_over and started or now, is_over and now or '-', sums))
if reason ~= '' then redis.call('HSET', session, 'why.' .. loop, reason) end
return answer(session, messages, known, batch, '')
