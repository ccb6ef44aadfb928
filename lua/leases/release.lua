-- Release a lease: its inbox enters the transcript, and the next waiter holds the lease. An inbox that a limit or the session's
-- end refuses stays as it is.
-- Returns {incarnation, '<first> <last> <rev> <count> <dropped> <limit state>' of the messages that entered, or ''}. Released
-- again, it returns the same. The third element is 1 if workers can claim the session, so that the caller must advance it. The
-- session lives for its idle ttl from now.
-- Errors: NEED_ANCESTORS NEED_REPEAT SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED LEASE_LOST INVALID_INPUT
-- Index: touches
--- include: results_field load_session check_operation find_result read_clock check_lease record_result parse_lease
--- include: extend_session check_ancestor_keys check_ancestors
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
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
  return {found, result, 0}
end
local now_ms, now_us = read_clock()
refusal = check_lease(loaded.lease, lease, now_ms)
if refusal then return refusal end
refusal = check_ancestor_keys(ancestor_keys, loaded.lineage)
if refusal then return refusal end
if loaded.status == 'active' and loaded.inbox and not check_ancestors(ancestor_keys, loaded.lineage) then
  --- include: drain_inbox
  loaded.never_ends, loaded.ancestor_keys = true, ancestor_keys
  local _, again
  result, _, again = drain_inbox(session, messages, loaded, {}, field, operation_id, now_ms, now_us)
  if again then return again end
  loaded.counters = redis.call('HGET', session, 'counters')
end
if not result then
  result = ''
  record_result(session, loaded.counters, field, loaded.results, operation_id, result)
end
local fence = parse_lease(loaded.lease).fence
if loaded.lease_waiters == '' then
  --- include: free_lease
  redis.call('HSET', session, 'lease', free_lease(fence))
else
  --- include: grant_next_waiter
  grant_next_waiter(session, fence, loaded.lease_waiters, now_ms)
end
if loaded.lineage then
  --- include: extend_ancestors
  extend_ancestors(ancestor_keys, now_ms)
end
local has_work = false
if loaded.run then
  --- include: parse_run format_run
  local run = parse_run(redis.call('HGET', session, 'run'))
  has_work = run.max_attempts ~= '-' and run.turn ~= 0
  if run.fence == fence then -- the holder of a claim releases the lease itself
    run.fence, run.deadline_ms = 0, run.limit_ms
    redis.call('HSET', session, 'run', format_run(run))
  end
end
if not loaded.is_turn_opened then extend_session(session, messages, now_ms, loaded.settings) end
return {found, result, has_work and 1 or 0}
