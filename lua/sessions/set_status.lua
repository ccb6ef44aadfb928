-- Change a session's status. An ended session stays as it ended; the same status again changes nothing. At an end the inbox
-- enters the transcript, unless a limit refuses it; the end counts in the tree, the result goes to the parent as a message, and
-- the children end by their policies. A cancellation also cancels all sessions below.
-- Returns {incarnation, '<rev>', 1 if the tree has cancelled members (trees/finalize_members), 1 if the parent must be advanced}.
-- A long inbox enters in parts, the last one with the end: watchers hear of the end behind the last message.
-- Errors: NEED_ANCESTORS NEED_REPEAT SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_LOCKED LEASE_LOST
--   REVISION_CONFLICT INVALID_TRANSITION SESSION_NOT_ACTIVE MESSAGE_TOO_LARGE INVALID_INPUT
-- Index: may_end
--- include: find_result results_field check_ancestor_keys check_ancestors touch_for_wait read_clock prepare_end
--- include: apply_end_effects parse_counters begin_write set_status commit_write end_session
--- include: count_waiting notify_holder drain_for_end
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]        -- '<fence> <nonce>' of the lease it is made under, or ''
local is_order      = ARGV[4] == '1' -- an order needs no lease, but a lease that it names must be held
local expected_rev  = ARGV[5]        -- the revision that must be current, or ''
local status        = ARGV[6]        -- the new status
local reason        = ARGV[7]        -- or ''
local result        = ARGV[8]        -- JSON, or ''

local found, current, counters, children, lineage, finished, inbox = unpack(redis.call('HMGET', session, 'incarnation', 'status',
  'counters', 'children', 'lineage', 'finished', 'inbox'))
local root = ancestor_keys[#ancestor_keys - 1] or session
if not found and ancestor_keys[1] then -- deleted with its end, which its parent recorded
  local before = find_result(redis.call('HGET', ancestor_keys[1], results_field(operation_id)) or '', operation_id)
  if before then return {incarnation, before, 0, 1} end
end
local function has_cancelled_members()
  return (children or lineage) and redis.call('HEXISTS', root, 'cancelled') or 0
end
local refusal = check_ancestor_keys(ancestor_keys, lineage)
if refusal then return refusal end
local is_done = current == status or (status == 'cancelled' and check_ancestors(ancestor_keys, lineage))
if is_done and (incarnation == '' or incarnation == found) then
  touch_for_wait(session, found)
  local plan, now_ms, now_us = {}, read_clock()
  if finished and inbox then
    local _, again = drain_for_end(session, messages, operation_id, now_ms, now_us)
    if again then return again end
    counters = redis.call('HGET', session, 'counters')
  end
  if finished and (children or lineage) then -- a limit may have ended it, which its tree does not know yet
    plan = prepare_end(session, ancestor_keys, now_ms, status, '', '')
    apply_end_effects(session, messages, ancestor_keys, now_ms, now_us, status, plan)
  end
  return {found, string.format('%d', parse_counters(counters).rev), has_cancelled_members(), plan.wakes_parent and 1 or 0}
end
if finished then lease, is_order = '', true end -- an ended session refuses by its status, not by its lease
local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id, is_order)
if not write then return reply end
if write.status ~= 'active' and write.status ~= 'paused' then
  return redis.error_reply('INVALID_TRANSITION ' .. write.status .. ' ' .. status)
end
if status == 'active' or status == 'paused' then
  set_status(session, write.now_ms, status, reason)
  if status == 'paused' then
    count_waiting(session, messages, ancestor_keys, write.now_ms, 1)
    write.settings = redis.call('HGET', session, 'settings')
  end
  reply = commit_write(session, messages, write, operation_id, '')
  reply[3], reply[4] = 0, 0
  return reply
end
if inbox then
  local _, again = drain_for_end(session, messages, operation_id, write.now_ms, write.now_us)
  if again then return again end
end
if is_order and lease == '' then notify_holder(redis.call('HGET', session, 'lease'), 'lost', '0 0') end
local ended
ended, refusal = end_session(session, messages, ancestor_keys, write.now_ms, write.now_us, operation_id, status, reason,
  result)
if refusal then return refusal end
if write.freed_lease and redis.call('EXISTS', session) == 1 then
  redis.call('HSET', session, 'lease', write.freed_lease)
end
ended[4], ended[3] = ended[3] and 1 or 0, has_cancelled_members()
return ended
