-- Replaces messages up to a seq by one that sums them up, which takes the last one's seq. Pinned ones stay, in their place.
-- Refused when that range is not there as the caller knows it, or would part a tool result from its call.
-- Returns {life, 'rev first'}: the seq the range began with. The same batch id again returns its first result.
-- Errors: CHAIN NOT_FOUND REPLACED NOT_ACTIVE LOCKED LEASE_LOST REVISION RANGE TOO_LARGE
--- include: rest counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer
--- include: shed
local session  = KEYS[1]       -- hash
local messages = KEYS[2]       -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]       -- the incarnation the caller knows, or ''
local batch    = ARGV[2]       -- batch id
local lease    = ARGV[3]       -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4]       -- the rev that must be current, or ''
local first    = tonumber(ARGV[5]) -- the seq that the range must begin with, or 0
local last     = tonumber(ARGV[6]) -- the seq it ends with
local entry    = ARGV[7]       -- '<kind><flags><tokens> <batch id> <payload>'
local size     = tonumber(ARGV[8]) -- of its payload

local known, told = guard(session, family, life, lease, expected, batch)
if told then return told end
if known[4] ~= 'active' then return redis.error_reply('NOT_ACTIVE ' .. known[4]) end
local most = string.match(known[3], '^%S+ %S+ (%d+)') + 0
if size > most then return redis.error_reply(string.format('TOO_LARGE %d %d', size, most)) end
local count = known[2]
local start, at = count.dropped + 1, last - count.dropped - 1
local message = at >= 0 and redis.call('LINDEX', messages, at)
local following = message and redis.call('LINDEX', messages, at + 1)
if not message or (first > 0 and first ~= start) or string.byte(message, 15) % 2 == 1
  or (following and string.sub(following, 14, 14) == 't') then
  return redis.error_reply(string.format('RANGE %d %d %d %d', first > 0 and first or start, last, start, count.last))
end
local aside = redis.call('HGET', session, 'aside') or ''
local _, bytes, tokens = shed(session, messages, at + 1, count.dropped, aside)
redis.call('LPUSH', messages, known.now .. entry)
count.dropped = last - 1
count.bytes = count.bytes - bytes + #entry + 13
count.tokens = count.tokens - tokens + string.match(entry, '^..(%d+)')
return answer(session, messages, known, batch, string.format('%d', start))
