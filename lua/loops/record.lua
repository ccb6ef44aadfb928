-- Records the usage of one step of a loop, once however often: it counts for the loop, for the session, and for what was
-- spent by the session and everything above it.
-- Returns {life, 'rev duplicate input output reasoning cache_read cache_write total cost'}: the loop's sums.
-- Errors: CHAIN NOT_FOUND REPLACED NOT_ACTIVE LOCKED LEASE_LOST REVISION NO_LOOP LIMIT
--- include: rest counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer
--- include: sums
local session  = KEYS[1]       -- hash
local messages = KEYS[2]       -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]       -- the incarnation the caller knows, or ''
local batch    = ARGV[2]       -- batch id
local lease    = ARGV[3]       -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4]       -- the rev that must be current, or ''
local loop     = ARGV[5]       -- its id
local step     = ARGV[6]       -- the step's
local usage    = ARGV[7]       -- 'input output reasoning cache_read cache_write total cost', the cost in millionths
local most     = tonumber(ARGV[8]) -- how many fields a session may have

local known, told = guard(session, family, life, lease, expected, batch)
if told then return told end
local field, once = 'loop.' .. loop, 'step.' .. loop .. ' ' .. step
local found = redis.call('HMGET', session, field, once, 'usage')
if not found[1] then return redis.error_reply('NO_LOOP ' .. loop) end
local head, before = string.match(found[1], '^(%S+ %S+ %S+ %S+ %S+ %S+) (.*)$')
if found[2] then
  mark(session, known[1])
  return {known[1], known[2].rev .. ' 1 ' .. before}
end
local total = redis.call('HLEN', session) + 3
if total > most then return redis.error_reply(string.format('LIMIT fields %d %d error', total, most)) end
local after = sums(before, usage)
redis.call('HSET', session, field, head .. ' ' .. after, once, usage, 'usage', sums(found[3] or '0 0 0 0 0 0 0', usage))
local spent = string.match(usage, '%d+ %d+$')
local lineage = {session}
for at = 1, #family, 2 do lineage[#lineage + 1] = family[at] end
for _, key in ipairs(lineage) do
  if redis.call('HEXISTS', key, 'life') == 1 then
    redis.call('HSET', key, 'spent', sums(redis.call('HGET', key, 'spent') or '0 0', spent))
  end
end
return answer(session, messages, known, batch, '0 ' .. after)
