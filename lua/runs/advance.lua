-- Advance the work of a session: after its holder gave it back, after its holder died, or when its time may be over. The inbox
-- enters the transcript. A run whose time is over, or whose attempts are used up, ends here. A run that is gone leaves its
-- tree. A nonce gives back once: a repeated call only looks. The script also writes the queue of the work, where the queue has
-- the slot of the session. So the queue never gets an earlier state after a later one.
-- Returns {incarnation, verdict, ms until the next check, queue, 1 if the parent must be advanced, too, 1 if messages wait in
-- the inbox, 1 if the queue was written}. The verdicts: 'free' (a worker can claim the work), 'idle' (no worker may claim the
-- work, 0 ms: no check is needed), 'held' (a worker holds the session), 'waiting' (the session is paused, or its time has not
-- come), 'parked' (the run waits for children), 'over', or 'cancelled' (over, and the tree has members to finalize).
-- Errors: NEED_ANCESTORS NEED_REPEAT SESSION_NOT_FOUND SESSION_DAMAGED LEASE_LOST MESSAGE_TOO_LARGE LIMIT_EXCEEDED
--   SESSION_NOT_ACTIVE OPERATION_CONFLICT INVALID_INPUT
-- Index: touches
--- include: tail read_clock load_run is_finished_run finish_run describe_queue parse_run count_waiting results_field find_result
--- include: load_session give_back_run end_claim tell_queue format_run
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local queue         = KEYS[3]           -- zset, as in runs/schedule; the session again where the queue has a slot of its own
local check_at      = KEYS[4]           -- zset, as in runs/schedule
local workers       = KEYS[5]           -- string, as in runs/schedule
local ready         = KEYS[6]           -- zset, as in runs/dequeue
local running       = KEYS[7]           -- zset, as in runs/dequeue
local ancestor_keys = {unpack(KEYS, 8)}     -- session and messages of each ancestor, the parent's first
local id            = ARGV[1]           -- the session
local operation_id  = ARGV[2]           -- for the end of the run, should it end, and for what the inbox holds
local nonce         = ARGV[3]           -- of the claim that is given back, or '' to check
local outcome       = ARGV[4]           -- 'released', 'failed', 'given_up' (failed for good), 'parked', 'finished' (a turn); or ''
local delay_ms      = tonumber(ARGV[5]) -- after which it may be claimed again
local problem       = ARGV[6]           -- the error of an attempt that failed, or ''
local parked        = ARGV[7]           -- '<how many must end> <number>:<incarnation> …' of the children that it waits for, or ''
local parent_reason = ARGV[8]           -- the reason in the message to the parent if the run fails, or '' for the error
local agent         = ARGV[9]           -- whose queue the keys are, or '' if the queue has a slot of its own
local format        = ARGV[10]          -- the message format of the messages, or ''
local entries       = tail(ARGV, 11)    -- messages that finish a turn, as in messages/append

local now_ms, now_us = read_clock()
local loaded, refusal = load_run(session, ancestor_keys, now_ms)
if not loaded then return refusal end
local found, run, lease = loaded.incarnation, loaded.run, loaded.lease
local root, is_given = ancestor_keys[#ancestor_keys - 1] or session, false
if nonce ~= '' and found then
  local before = find_result(redis.call('HGET', session, results_field(nonce)) or '', nonce)
  local is_another = before and #entries > 0 and before ~= outcome .. ' ' .. operation_id
  if is_another or (not before and lease.nonce ~= nonce) then
    return redis.error_reply('LEASE_LOST ' .. lease.fence .. ' ' .. lease.owner)
  end
  is_given = not before
  if is_given and #entries > 0 and (loaded.is_cancelled or not loaded.is_open) then
    return redis.error_reply('SESSION_NOT_ACTIVE ' .. (loaded.is_cancelled and 'cancelled' or loaded.status))
  end
elseif nonce ~= '' and outcome == 'finished' then
  return redis.error_reply('SESSION_NOT_FOUND -')
end
local given = {
  nonce = nonce, outcome = outcome, delay_ms = delay_ms, problem = problem, parked = parked, entries = entries,
  operation_id = operation_id, is_given = is_given, result = outcome .. ' ' .. operation_id, root = root, format = format,
}
local function reply(verdict, check_ms, wakes_parent)
  local keys = {queue = queue, check_at = check_at, workers = workers, ready = ready, running = running}
  local is_written = tell_queue(keys, agent, id, loaded, given, verdict, check_ms)
  return {
    found or '', verdict, check_ms, describe_queue(loaded), wakes_parent and 1 or 0, loaded.inbox and 1 or 0, is_written and 1 or 0,
  }
end
if is_given and loaded.is_open and not loaded.is_cancelled then
  refusal = give_back_run(session, messages, loaded, given, now_ms, now_us)
  if refusal then return refusal end
end
end_claim(session, messages, ancestor_keys, loaded, is_given, now_ms)
if is_finished_run(loaded, now_ms) then
  local verdict, wakes_parent = finish_run(session, messages, ancestor_keys, id, loaded, given.operation_id, now_ms, now_us, problem,
    parent_reason ~= '' and parent_reason or nil)
  if redis.call('HEXISTS', session, 'inbox') == 1 then -- a long one
    --- include: drain_for_end
    local _, again = drain_for_end(session, messages, given.operation_id, now_ms, now_us)
    if again then return again end
  end
  loaded.inbox = nil
  return reply(verdict, 0, wakes_parent)
end
if loaded.is_cancelled then return reply('cancelled', 0) end
if loaded.inbox and loaded.status == 'active' and loaded.is_free then
  --- include: drain_inbox
  local field = results_field(given.operation_id)
  local inbox = load_session(session, '', field)
  inbox.never_ends, inbox.ancestor_keys = true, ancestor_keys
  local taken, _, again = drain_inbox(session, messages, inbox, {}, field, given.operation_id, now_ms, now_us)
  --- include: free_lease
  if again then redis.call('HSET', session, 'lease', free_lease(lease.fence, '+')) end
  if again then return again end
  if taken then loaded.inbox = nil end
  run = parse_run(redis.call('HGET', session, 'run'))
end
if loaded.is_free and loaded.lease_waiters ~= '' then
  --- include: grant_next_waiter parse_lease
  loaded.is_free = not grant_next_waiter(session, lease.fence, loaded.lease_waiters, now_ms)
  lease = parse_lease(redis.call('HGET', session, 'lease'))
end
if not loaded.is_free or loaded.status == 'paused' then
  local wait_ms = loaded.status == 'active' and lease.deadline_ms - now_ms or 60000
  count_waiting(session, messages, ancestor_keys, now_ms, loaded.status == 'active' and -1 or 1)
  return reply(loaded.is_free and 'waiting' or 'held', math.max(math.min(loaded.left_ms, wait_ms), 100))
end
local has_turn = run.turn and loaded.answered_by and run.turn > 0
if run.max_attempts == '-' or (run.turn and not (has_turn and run.attempts < run.max_attempts + 0)) then
  count_waiting(session, messages, ancestor_keys, now_ms, -1)
  return reply('idle', loaded.lineage and loaded.left_ms or 0)
end
count_waiting(session, messages, ancestor_keys, now_ms, 1)
if loaded.parked then
  --- include: check_parked
  local state, left_ms = check_parked(root, loaded.parked, now_ms)
  if not state then return reply('parked', math.min(left_ms, 10000)) end
  redis.call('HDEL', session, 'parked')
  run.available_ms = now_ms - 10^12
  redis.call('HSET', session, 'resumed', state, 'run', format_run(run))
end
if run.available_ms > now_ms then return reply('waiting', run.available_ms - now_ms) end
return reply('free', loaded.left_ms)
