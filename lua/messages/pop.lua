-- Remove the newest message, or those from a seq on that the caller has read, and return them. Removed messages are kept for a
-- while, so that a repeated call returns them again. A newest message whose payload is not a plain JSON object, because it is
-- encoded or damaged, is returned, but stays until the caller names it: then the caller could read it. A pop leaves the highest
-- seq as it is, and a summary has an old seq, so the batch ID is compared, too.
-- Returns {incarnation, '<first seq> <last seq> <rev> <count> <dropped> abandoned 0 ok', 0, {seq, …}, {message, …}} of what was
-- removed. The same operation again returns its first result and 1, and no messages if they are not kept any more. When nothing
-- was removed: {incarnation, '', 2, {seq}, {message}} with the newest message, or without one if the session has none.
-- Errors: NEED_ANCESTORS NEED_PLAN SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED
--   LEASE_LOST REVISION_CONFLICT OUTCOME_UNKNOWN LIMIT_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: begin_edit parse_layout newest_message message_batch is_plain_object plan_truncation check_gaps
--- include: keep_popped remove_tail commit_edit extend_ancestors end_expired_lease
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local popped        = KEYS[3]           -- list of what was popped lately, see keep_popped
local ancestor_keys = {unpack(KEYS, 4)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]           -- the batch ID
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]           -- the revision that must be current, or ''
local first_seq     = tonumber(ARGV[5]) -- the first message to remove, if the caller has read what is removed, or 0
local newest_seq    = tonumber(ARGV[6]) -- the last one
local newest_batch  = ARGV[7]           -- the batch ID of the last one
local keep_ms       = tonumber(ARGV[8]) -- that removed messages are kept, if the session lives so long
local elapsed_ms    = ARGV[9]           -- since the first attempt, or '' for the first attempt
local plan          = ARGV[10]          -- what NEED_PLAN said, or ''

local write, reply = begin_edit(session, messages, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then
  if not reply[3] then return reply end
  --- include: find_popped
  reply[4], reply[5] = find_popped(popped, operation_id)
  return reply
end
if elapsed_ms ~= '' then
  --- include: find_popped
  local seqs, found, is_complete = find_popped(popped, operation_id, write.now_ms - elapsed_ms)
  if #seqs > 0 then return {write.incarnation, '', 1, seqs, found} end
  if not is_complete or elapsed_ms + 2000 > keep_ms then return redis.error_reply('OUTCOME_UNKNOWN ' .. operation_id) end
end
local counters, layout = write.counters, parse_layout(redis.call('HGET', session, 'layout'))
local seq, message = newest_message(session, messages, counters, layout)
if not message then return {write.incarnation, '', 2, {}, {}} end
local seqs, found = {seq}, {message}
if seq ~= newest_seq or message_batch(message) ~= newest_batch then
  if first_seq < newest_seq and elapsed_ms ~= '' then return redis.error_reply('OUTCOME_UNKNOWN ' .. operation_id) end
  if first_seq > 0 or not is_plain_object(message) then return {write.incarnation, '', 2, seqs, found} end
  first_seq = seq
end
if first_seq < seq then
  --- include: read_group
  seqs, found = read_group(messages, counters, layout, first_seq)
end
local staying, going, unpinned = plan_truncation(session, messages, counters, layout, first_seq - 1, plan)
if not staying then return going end
reply = check_gaps(layout)
if reply then return reply end
keep_popped(session, popped, operation_id, write.now_ms, keep_ms, seqs, found)
remove_tail(session, messages, write, layout, operation_id, first_seq - 1, staying, going, unpinned)
local result = commit_edit(session, messages, write, layout, operation_id, 'pop ', first_seq, 0)
extend_ancestors(ancestor_keys, write.now_ms)
end_expired_lease(session, write)
return {write.incarnation, result, 0, seqs, found}
