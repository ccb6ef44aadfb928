-- Release a lease: its inbox enters the transcript, and the next waiter holds the lease. An inbox that a limit or the session's
-- end refuses stays as it is.
-- Returns {incarnation, '<first> <last> <rev> <count> <dropped> <limit state>' of the messages that entered, or ''}. Released
-- again, it returns the same.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED LEASE_LOST INVALID_INPUT
-- Index: touches
--- include: tail results_field load_session check_operation find_result read_clock check_lease record_result parse_lease
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = tail(KEYS, 3) -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]       -- the nonce of the lease
local lease         = ARGV[3]       -- '<fence> <nonce>'

local field = results_field(operation_id)
local loaded, refusal = load_session(session, incarnation, field)
refusal = refusal or check_operation(operation_id)
if refusal then return refusal end
local found, result = loaded.incarnation, find_result(loaded.results, operation_id)
if result then
  --- include: touch_for_wait
  touch_for_wait(session, found)
  return {found, result}
end
local now_ms, now_us = read_clock()
refusal = check_lease(loaded.lease, lease, now_ms)
if refusal then return refusal end
local cancelled, is_incomplete
if loaded.lineage then
  --- include: check_ancestors
  cancelled, is_incomplete = check_ancestors(ancestor_keys, loaded.lineage)
  if is_incomplete then return cancelled end
end
if loaded.status == 'active' and loaded.inbox and not cancelled then
  --- include: drain_inbox
  loaded.never_ends = true
  result, refusal = drain_inbox(session, messages, loaded, {}, field, operation_id, now_ms, now_us)
  loaded.counters = redis.call('HGET', session, 'counters')
  if not loaded.counters then return refusal end --
end
if not result then
  result = ''
  record_result(session, loaded.counters, field, loaded.results, operation_id, result)
end
local fence = parse_lease(loaded.lease).fence
if loaded.lease_waiters == '' then
  redis.call('HSET', session, 'lease', fence .. ' - 0 -')
else
  --- include: grant_next_waiter
  grant_next_waiter(session, fence, loaded.lease_waiters, now_ms)
end
if loaded.lineage then
  --- include: extend_ancestors
  extend_ancestors(ancestor_keys, now_ms)
end
return {found, result}
