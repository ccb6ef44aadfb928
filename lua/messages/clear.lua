-- Removes all messages of a session and starts its counts again. Seqs go on; system prompt and state stay.
-- Returns {life, rev}.
-- Errors: NOT_FOUND REPLACED REVISION NOT_ACTIVE
--- include: identify counts guard clock expire extend change
local session  = KEYS[1] -- hash
local messages = KEYS[2] -- list
local life     = ARGV[1] -- the incarnation the caller knows, or ''
local expected = ARGV[2] -- the rev that must be current, or ''

local known, refusal = guard(session, life, expected)
if refusal then return refusal end
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
return {known[1], change(session, messages, clock(), known[3], count)}
