-- Replace the messages up to a seq by one summary, which takes the last one's seq. Pinned messages stay in their places.
-- Returns {incarnation, '<rev> <first>'}: the seq that the range began with. The same operation again returns its first result.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST REVISION_CONFLICT
--   COMPACTION_CONFLICT MESSAGE_TOO_LARGE INVALID_INPUT
-- Index: touches
--- include: tail begin_write parse_settings is_pinned message_kind pop_oldest_messages commit_write
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local ancestor_keys = tail(KEYS, 3)     -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]           -- the revision that must be current, or ''
local first         = tonumber(ARGV[5]) -- the seq that the range must begin with, or 0
local last          = tonumber(ARGV[6]) -- the seq that the range ends with
local entry         = ARGV[7]           -- the summary: '<kind><flags><tokens> <batch ID> <payload>'
local size          = tonumber(ARGV[8]) -- of its payload, in bytes

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
if write.status ~= 'active' then return redis.error_reply('SESSION_NOT_ACTIVE ' .. write.status) end
local max_bytes = parse_settings(write.settings).max_message_bytes
if size > max_bytes then return redis.error_reply(string.format('MESSAGE_TOO_LARGE %d %d', size, max_bytes)) end
local counters = write.counters
local start, at = counters.dropped + 1, last - counters.dropped - 1
local message = at >= 0 and redis.call('LINDEX', messages, at)
local following = message and redis.call('LINDEX', messages, at + 1)
if not message or (first > 0 and first ~= start) or is_pinned(message)
  or (following and message_kind(following) == 't') then
  return redis.error_reply(string.format('COMPACTION_CONFLICT %d %d %d %d', first > 0 and first or math.min(start, last), last, start,
    counters.last_seq))
end
local pinned_trimmed = redis.call('HGET', session, 'pinned_trimmed') or ''
local _, bytes, tokens = pop_oldest_messages(session, messages, at + 1, counters.dropped, pinned_trimmed)
redis.call('LPUSH', messages, string.format('%d', write.now_ms) .. entry)
counters.dropped = last - 1
counters.bytes = counters.bytes - bytes + #entry + 13
counters.tokens = counters.tokens - tokens + string.match(entry, '^..(%d+)')
return commit_write(session, messages, write, operation_id, string.format('%d', start))
