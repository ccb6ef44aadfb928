-- Remove all messages of a session and start its counts again. Seqs go on; the system prompt and the state stay.
-- Returns {incarnation, '<rev>'}; the same operation again returns its first result.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_LOCKED LEASE_LOST REVISION_CONFLICT SESSION_NOT_ACTIVE
--   INVALID_INPUT
-- Index: touches
--- include: tail begin_write commit_write
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = tail(KEYS, 3) -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
if write.status ~= 'active' then return redis.error_reply('SESSION_NOT_ACTIVE ' .. write.status) end
for seq in string.gmatch(redis.call('HGET', session, 'pinned_trimmed') or '', '%d+') do
  redis.call('HDEL', session, 'pinned.' .. seq)
end
redis.call('DEL', messages)
redis.call('HDEL', session, 'pinned_trimmed', 'pins')
local counters = write.counters
redis.call('HSET', session, 'cleared', string.format('%d', counters.last_seq))
counters.dropped = counters.last_seq
counters.user_messages, counters.assistant_messages, counters.turns, counters.pending_turn = 0, 0, 0, 0
counters.bytes, counters.tokens = 0, 0
return commit_write(session, messages, write, operation_id, '')
