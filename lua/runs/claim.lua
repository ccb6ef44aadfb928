-- Claim the work of a session, a run or a turn: its lease, for one attempt. A nonce is one claim. Only an attempt that fails is
-- counted, when it ends.
-- Returns {incarnation, 'claimed', ms until the next check, queue, fence, ms of the lease, attempt, max_attempts or '-', task or
-- '', first seq of the turn or '-', ms until its deadline or -1, 'done', 'timeout <children>' or '' (of a wait for children, as
-- in runs/advance), 1 if the worker of the last attempt died, retries, ms of the session's idle ttl, the trace context of the
-- request or '', ms since the work was requested and could be claimed, or -1 if that is not known}, or {incarnation or '',
-- verdict, ms until the next check, queue}. The verdicts: 'held' (another worker holds it), 'waiting' (it is paused, or its time
-- has not come), 'idle' (there is no work), or 'unsettled' (the caller then calls runs/advance).
-- Errors: NEED_ANCESTORS INVALID_INPUT
-- Index: none
--- include: read_clock load_run is_finished_run describe_queue grant_lease format_run extend_held_session extend_ancestors
--- include: mark_waiting parse_lineage parse_settings
local session          = KEYS[1]           -- hash
local messages         = KEYS[2]           -- list
local ancestor_keys    = {unpack(KEYS, 3)}     -- session and messages of each ancestor, the parent's first
local nonce            = ARGV[1]           -- of the claim
local owner            = ARGV[2]           -- the name of the holder
local ttl_ms           = tonumber(ARGV[3]) -- that the lease lasts
local agents           = ARGV[4]           -- ' <agent> … ' whose worker claims
local channel          = ARGV[5]           -- on which the worker hears
local counts_receivers = ARGV[6]           -- '1' if PUBLISH returning 0 proves that the worker is gone

if owner == '' or string.find(owner .. nonce, '%s') then
  return redis.error_reply('INVALID_INPUT owner must be a name without white space')
end
local now_ms = read_clock()
local loaded, refusal = load_run(session, ancestor_keys, now_ms)
if not loaded then return refusal end
local found, run, lease, queue = loaded.incarnation, loaded.run, loaded.lease, describe_queue(loaded)
if loaded.is_cancelled or is_finished_run(loaded, now_ms) then return {found or '', 'unsettled', 0, queue} end
local settings = parse_settings(loaded.settings)
if lease.nonce ~= nonce then
  if not loaded.is_free or loaded.status == 'paused' then
    local wait_ms = loaded.status == 'active' and lease.deadline_ms - now_ms or 5000
    return {found, loaded.is_free and 'waiting' or 'held', math.max(math.min(loaded.left_ms, wait_ms), 100), queue}
  end
  local is_unsettled = lease.nonce ~= '-' or run.fence > 0 or loaded.parked or loaded.lease_waiters ~= ''
  if is_unsettled then return {found, 'unsettled', 0, queue} end
  local has_work = run.max_attempts ~= '-'
  if run.turn then
    has_work = has_work and loaded.answered_by and run.turn > 0 and run.attempts < run.max_attempts + 0
    local is_ours = has_work and string.find(agents, ' ' .. loaded.answered_by .. ' ', 1, true)
    if has_work and not is_ours then return {found, 'unsettled', 0, queue} end -- the turn moves to its agent's queue
  end
  if not has_work then return {found, 'idle', loaded.left_ms, queue} end
  if run.available_ms > now_ms then return {found, 'waiting', run.available_ms - now_ms, queue} end
  run.fence, run.deadline_ms = lease.fence + 1, run.limit_ms
  if run.timeout_ms > 0 then run.deadline_ms = math.min(now_ms + run.timeout_ms, run.limit_ms or math.huge) end
  grant_lease(session, run.fence, nonce, owner, channel, counts_receivers, now_ms, ttl_ms)
  redis.call('HSET', session, 'run', format_run(run))
  local number, root = parse_lineage(loaded.lineage).number, ancestor_keys[#ancestor_keys - 1]
  settings = mark_waiting(session, number, -1) or settings
  if root then mark_waiting(root, number, -1) end
  extend_held_session(session, messages, now_ms, settings, ttl_ms)
  extend_ancestors(ancestor_keys, now_ms)
end
local left_ms = run.deadline_ms and run.deadline_ms - now_ms or -1
local check_ms = left_ms >= 0 and math.min(left_ms, ttl_ms) or ttl_ms
local trace, session_ttl_ms = loaded.trace or '', loaded.idle_ttl and loaded.idle_ttl + 0 or settings.ttl_ms
local requested_ms = run.turn and string.match(trace, ' (%d+)$') or not run.turn and loaded.created / 1000
local waited_ms = -1
if requested_ms and run.attempts == 0 and run.retries == 0 and not loaded.resumed then
  waited_ms = math.max(math.floor(now_ms - math.max(requested_ms + 0, run.available_ms)), 0)
end
return {
  found, 'claimed', check_ms, queue, run.fence, ttl_ms, run.attempts + 1, run.max_attempts, loaded.task or '',
  run.turn and string.format('%d', run.turn) or '-', left_ms, loaded.resumed or '', run.has_died + 0, run.retries,
  session_ttl_ms, string.match(trace, '^%S+') or '', waited_ms,
}
