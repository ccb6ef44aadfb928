-- Replace one message in its place, also in a session that is paused or has ended. The message keeps its seq, its time, its batch
-- ID, its pin, its kind, and the tool calls that it makes or answers.
-- Returns {incarnation, '<rev> replace_message <count> <dropped>'}. The same operation again returns its first result, then 1.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST
--   REVISION_CONFLICT EDIT_CONFLICT MESSAGE_NOT_FOUND MESSAGE_TOO_LARGE INVALID_INPUT
-- Index: touches
--- include: begin_edit parse_settings parse_entry parse_layout message_kind message_batch message_tokens message_facts set_facts
--- include: set_flags list_index list_seq log_change commit_write
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]           -- the batch ID
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]           -- the revision that must be current, or ''
local seq           = tonumber(ARGV[5]) -- of the message
local entry         = ARGV[6]           -- what replaces it: '<kind><flags><tokens> <batch ID> [<facts> ]<payload>'

local write, reply = begin_edit(session, messages, ancestor_keys, incarnation, lease, expected_rev, operation_id, true)
if not write then return reply end
local max_bytes = parse_settings(write.settings).max_message_bytes
local _, _, _, space = parse_entry(entry)
local size = #entry - space - #operation_id - 1
if size > max_bytes then return redis.error_reply(string.format('MESSAGE_TOO_LARGE %d %d', size, max_bytes)) end
local counters, layout = write.counters, parse_layout(redis.call('HGET', session, 'layout'))
local at, field = list_index(seq, counters.dropped, layout.gaps), 'kept.' .. seq
local is_listed = at >= 0 and seq <= counters.last_seq and list_seq(at, counters.dropped, layout.gaps) == seq
local before = is_listed and redis.call('LINDEX', messages, at) or redis.call('HGET', session, field)
if not before then return redis.error_reply(string.format('MESSAGE_NOT_FOUND %.0f', seq)) end
local head, rest = string.match(entry, '^(%S+) %S+(.*)$')
local message = string.sub(before, 1, 8) .. head .. ' ' .. message_batch(before) .. rest -- a repeated append finds its batch ID
local facts, old_facts = message_facts(message), message_facts(before)
local function plain(text) -- a stored result has the ID of its call
  return (string.gsub(string.gsub(text, '[!?]', {['!'] = '+', ['?'] = '-'}), '%-%w+', function(hash) return string.sub(hash, -8) end))
end
if message_kind(message) ~= message_kind(before) or plain(old_facts) ~= plain(facts) then
  return redis.error_reply(string.format('EDIT_CONFLICT other_calls %.0f %.0f 0 0', seq, counters.last_seq))
end
if facts ~= '' then message = set_facts(message, facts, old_facts) end
message = set_flags(message, string.byte(before, 10))
if is_listed then redis.call('LSET', messages, at, message) else redis.call('HSET', session, field, message) end
counters.bytes = counters.bytes + #message - #before
counters.tokens = counters.tokens + message_tokens(message) - message_tokens(before)
log_change(session, write.now_ms, string.format('edited:%d', seq))
return commit_write(session, messages, write, operation_id,
  string.format('replace_message %d %d', counters.last_seq - counters.dropped + layout.kept, counters.dropped - layout.kept))
