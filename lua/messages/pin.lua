-- Pins or unpins a message, so that the cap keeps or drops it. Unpinning one that is aside drops it.
-- Returns {life, 'rev'}; doing it twice changes nothing.
-- Errors: CHAIN NOT_FOUND REPLACED LOCKED LEASE_LOST NOT_ACTIVE REVISION NO_MESSAGE LIMIT
--- include: rest counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer pin
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local batch    = ARGV[2]           -- batch id
local lease    = ARGV[3]           -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4]           -- the rev that must be current, or ''
local seq      = tonumber(ARGV[5]) -- the message
local pinned   = ARGV[6] == '1'    -- whether it is to be pinned

local known, told = guard(session, family, life, lease, expected, batch)
if told then return told end
local count = known[2]
local at = seq - count.dropped - 1
local field = 'pinned.' .. string.format('%.0f', seq)
local message = at >= 0 and redis.call('LINDEX', messages, at) or redis.call('HGET', session, field)
if not message then return redis.error_reply('NO_MESSAGE ' .. string.format('%.0f', seq)) end
if (string.byte(message, 15) % 2 == 1) == pinned then
  mark(session, known[1])
  return {known[1], count.rev .. ' '}
end

local pins, refusal = pin(session, pinned and 1 or -1, string.match(known[3], '^%d+') + 0)
if refusal then return refusal end
if at >= 0 then
  local flag = string.char(string.byte(message, 15) + (pinned and 1 or -1))
  redis.call('LSET', messages, at, string.sub(message, 1, 14) .. flag .. string.sub(message, 16))
else
  local left = {}
  for other in string.gmatch(redis.call('HGET', session, 'aside'), '%d+') do
    if other + 0 ~= seq then left[#left + 1] = other end
  end
  redis.call('HDEL', session, field)
  redis.call('HSET', session, 'aside', table.concat(left, ' '))
  count.bytes = count.bytes - #message
  count.tokens = count.tokens - string.match(message, '^%d+', 16)
end
redis.call('HSET', session, 'pins', pins)
return answer(session, messages, known, batch, '')
