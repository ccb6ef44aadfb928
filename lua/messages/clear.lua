-- Removes all messages of a session and starts its counts again. Seqs go on; system prompt and state stay.
-- Returns {life, 'rev'}; the same batch id again returns its first result.
-- Errors: CHAIN NOT_FOUND REPLACED LOCKED LEASE_LOST REVISION NOT_ACTIVE
--- include: rest counts identify bucket recall remember clock fence belong mark guard expire extend uphold change answer
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local family   = rest(KEYS, 3) -- session and messages of each ancestor of a child's, the parent's first
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local batch    = ARGV[2] -- batch id
local lease    = ARGV[3] -- 'fence nonce' of the lease it is made under, or ''
local expected = ARGV[4] -- the rev that must be current, or ''

local known, told = guard(session, family, life, lease, expected, batch)
if told then return told end
if known[4] ~= 'active' then return redis.error_reply('NOT_ACTIVE ' .. known[4]) end
for seq in string.gmatch(redis.call('HGET', session, 'aside') or '', '%d+') do
  redis.call('HDEL', session, 'pinned.' .. seq)
end
redis.call('DEL', messages)
redis.call('HDEL', session, 'aside', 'pins')
local count = known[2]
redis.call('HSET', session, 'cleared', count.last)
count.dropped = count.last
for _, name in ipairs({'users', 'assistants', 'turns', 'pending', 'bytes', 'tokens'}) do
  count[name] = 0
end
return answer(session, messages, known, batch, '')
