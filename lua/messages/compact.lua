-- Replace the messages up to a seq by one summary, which takes the last one's seq. Pinned messages stay in their places. The
-- range must end with a group. An older summary is replaced. A long range is replaced in parts, the oldest first, each by the
-- whole summary: the caller repeats the call until the range is done.
-- Returns {incarnation, '<rev> compact <first>'}: the seq that the range began with, and ' part' behind it if more is to do.
-- The same operation, or the same part, again returns its first result. When the result left the window of results, the call is
-- refused.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST
--   REVISION_CONFLICT COMPACTION_CONFLICT MESSAGE_TOO_LARGE INVALID_INPUT
-- Index: touches
--- include: begin_edit parse_settings parse_layout is_pinned message_tokens set_flags list_index list_seq gaps_behind find_result
--- include: check_boundary record_recent results_field encode_time kept_seqs set_kept_seqs pop_oldest_messages save_layout log_change
--- include: page_size end_of_part message_batch commit_write
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local ancestor_keys = {unpack(KEYS, 3)}     -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]           -- the revision that must be current, or ''
local first         = tonumber(ARGV[5]) -- the seq that the range must begin with, or 0
local last          = tonumber(ARGV[6]) -- the seq that the range ends with
local entry         = ARGV[7]           -- the summary: '<kind><flags><tokens> <batch ID> <payload>'
local size          = tonumber(ARGV[8]) -- of its payload, in bytes
local began         = tonumber(ARGV[9]) -- the seq that the first part began with, or 0
local part          = ARGV[10]          -- the operation ID of this part

local write, reply = begin_edit(session, messages, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local before_part = find_result(redis.call('HGET', session, results_field(part)) or '', part)
if before_part then return {write.incarnation, before_part, 1} end
local max_bytes = parse_settings(write.settings).max_message_bytes
if size > max_bytes then return redis.error_reply(string.format('MESSAGE_TOO_LARGE %d %d', size, max_bytes)) end
local counters = write.counters
local dropped, length = counters.dropped, counters.last_seq - counters.dropped
local layout = parse_layout(redis.call('HGET', session, 'layout'))
local gaps = layout.gaps
local start, at = list_seq(0, dropped, gaps), list_index(last, dropped, gaps)
local message = at >= 0 and at < length and list_seq(at, dropped, gaps) == last and redis.call('LINDEX', messages, at)
local is_boundary, before, after = false, 0, 0
if length > 0 then is_boundary, before, after = check_boundary(messages, math.max(at, 0), length, layout, dropped) end
local is_repeated = began == 0 and message and message_batch(redis.call('LINDEX', messages, 0)) == operation_id
local reason
if is_repeated or (first > 0 and began == 0 and first ~= start) then
  reason = 'moved'
elseif not message then
  reason = last > counters.last_seq and 'beyond_end' or 'dropped'
elseif is_pinned(message) then
  reason = 'pinned'
elseif not is_boundary then
  reason = 'in_group'
end
if reason then
  return redis.error_reply(string.format('COMPACTION_CONFLICT %s %d %d %d %d %d %d', reason,
    first > 0 and first or math.min(start, last), last, start, counters.last_seq, before or 0, after or 0))
end
local part_end, result = end_of_part(messages, at, page_size(counters)), string.format('compact %d', began > 0 and began or start)
if part_end < at then
  at, last, operation_id, result = part_end, list_seq(part_end, dropped, gaps), part, result .. ' part'
  write.results = redis.call('HGET', session, results_field(part)) or ''
  counters.operations = counters.operations - 1 -- only the last part is an operation
end
write.results = record_recent(session, messages, write.recent, results_field(operation_id), write.results)
local bytes, tokens = pop_oldest_messages(session, messages, at + 1, dropped, layout)
local summary, removed, seqs = redis.call('HGET', session, 'summary'), {}, {}
for _, seq in ipairs({layout.task, tonumber(summary)}) do -- an older summary and the task are part of what the new summary says
  local field = string.format('kept.%d', seq)
  local kept = redis.call('HGET', session, field)
  if kept and not is_pinned(kept) then
    redis.call('HDEL', session, field)
    start = math.min(start, seq)
    removed[seq], bytes, tokens = true, bytes + #kept, tokens + message_tokens(kept)
  end
end
if next(removed) then
  for _, seq in ipairs(kept_seqs(session, layout)) do
    if not removed[seq] then seqs[#seqs + 1] = seq end
  end
  set_kept_seqs(session, layout, seqs)
end
redis.call('HSET', session, 'summary', string.format('%d', last))
layout.task, layout.gaps = 0, gaps_behind(last, gaps)
redis.call('LPUSH', messages, set_flags(encode_time(write.now_ms) .. '0' .. entry, 72)) -- a summary
save_layout(session, layout)
counters.dropped, counters.plain_after = counters.last_seq - length + at, counters.last_seq
if counters.user_seq <= last then counters.user_seq = last end
counters.bytes = counters.bytes - bytes + #entry + 8
counters.tokens = counters.tokens - tokens + string.match(entry, '^..(%d+)')
log_change(session, write.now_ms, string.format('edited:%d', start))
return commit_write(session, messages, write, operation_id, result)
