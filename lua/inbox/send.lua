-- Send a message to a session, or append messages that ask for an answer. While another worker holds the lease, a sent message
-- waits in the inbox; else the messages are appended, behind those that still wait there. A session that an agent answers gets an
-- open turn in its agent's queue. A batch ID among the session's last 64 operations returns its first result.
-- Returns '<incarnation> <is_duplicate> <first> <last> <rev> <count> <dropped> <limit state>', or '<incarnation> <is_duplicate>
-- queued <messages that wait> <ms until the lease runs out>'.
-- Errors: NEED_ANCESTORS NEED_QUEUE NEED_REPEAT SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_NOT_ACTIVE
--   SESSION_LOCKED LEASE_LOST REVISION_CONFLICT SESSION_REGRESSED OUTCOME_UNKNOWN MESSAGE_TOO_LARGE LIMIT_EXCEEDED BOUND_EXCEEDED
--   INVALID_INPUT
-- Index: touches
--- include: tail results_field load_session check_operation parse_inbox find_before touch_for_wait read_clock read_inbox
--- include: find_batch_in_transcript check_ancestors check_lease check_room parse_lease parse_run enqueue_inbox
--- include: extend_ancestors drain_inbox record_trace announce_check
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local queue         = KEYS[3]           -- zset, as in runs/schedule; the session again where the queue has a slot of its own
local check_at      = KEYS[4]           -- zset, as in runs/schedule
local workers       = KEYS[5]           -- string, as in runs/schedule
local ancestor_keys = {unpack(KEYS, 6)}     -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]           -- the batch ID
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is sent under, or ''
local elapsed_ms    = ARGV[4]           -- since the first attempt, or '' for the first attempt
local id            = ARGV[5]           -- the session
local agent         = ARGV[6]           -- whose queue the keys are, or in which a check was reserved; '' for none
local is_queued     = ARGV[7] == '1'    -- the queue is written, too
local is_turn_request = ARGV[8] == '1'  -- the messages are appended, never queued, and open a turn whatever they are
local expected_rev  = ARGV[9]           -- the revision that must be current, or ''
local seen          = tonumber(ARGV[10]) -- the highest seq that was acknowledged to the caller, or 0
local format        = ARGV[11]          -- the message format, if the session has none that is known, or ''
local max_bytes     = tonumber(ARGV[12]) -- of what waits in the inbox, with the message
local trace         = ARGV[13]          -- the trace context of the request, as W3C traceparent, or ''
local entries       = tail(ARGV, 14)    -- '<kind><flags><tokens> <batch ID> [<facts> ]<payload>'; one to send

local field = results_field(operation_id)
local loaded, refusal = load_session(session, incarnation, field)
refusal = refusal or check_operation(operation_id)
if trace ~= '' and not (#trace == 55 and string.find(trace, '^%x%x%-%x+%-%x+%-%x%x$')) then
  refusal = redis.error_reply('INVALID_INPUT trace must be a W3C traceparent')
end
if refusal then return refusal end
local found, inbox = loaded.incarnation, parse_inbox(loaded.inbox)
local before = find_before(session, messages, loaded.results, loaded.recent, operation_id)
if before then
  touch_for_wait(session, found)
  return found .. ' 1 ' .. before
end
local now_ms, now_us = read_clock()
if elapsed_ms ~= '' then
  for _, other in ipairs(read_inbox(session, loaded.inbox)) do
    if string.match(other, ' (%S+)') == operation_id then before = string.format('%s 1 queued %d 0', found, inbox.size) end
  end
  if not before then
    before, refusal = find_batch_in_transcript(messages, loaded.counters, loaded.layout, operation_id, elapsed_ms, now_ms)
    before = refusal or before and found .. ' 1 ' .. before
  end
  if before then
    touch_for_wait(session, found)
    return before
  end
end
if loaded.status ~= 'active' then return redis.error_reply('SESSION_NOT_ACTIVE ' .. loaded.status) end
refusal = check_ancestors(ancestor_keys, loaded.lineage)
if refusal then return refusal end
if is_turn_request and not loaded.answered_by then
  return redis.error_reply('INVALID_INPUT request_turn needs a session with answered_by, because no agent would answer')
end
local locked, freed_lease = check_lease(loaded.lease, lease, now_ms)
if locked and (is_turn_request or lease ~= '') then return locked end
local wanted = loaded.answered_by or ':inbox'
if (loaded.answered_by or locked) and agent ~= wanted then return redis.error_reply('NEED_QUEUE ' .. wanted) end
local function name_work()
  --- include: format_work parse_lineage
  local priority, fairness_key = unpack(redis.call('HMGET', session, 'priority', 'fairness_key'))
  return format_work(id, parse_lineage(loaded.lineage).ancestors, priority, fairness_key)
end
if locked then
  refusal = check_room(session, loaded, inbox, entries[1], operation_id, max_bytes)
  if refusal then return refusal end
  local count = enqueue_inbox(session, messages, loaded, entries[1], field, operation_id, now_ms, 0)
  if format ~= '' then redis.call('HSETNX', session, 'format', format) end
  if loaded.answered_by then record_trace(session, trace, now_ms) end
  extend_ancestors(ancestor_keys, now_ms)
  local deadline_ms = parse_lease(loaded.lease).deadline_ms
  if is_queued then -- the check brings the message in, should the holder die
    redis.call('ZADD', check_at, 'LT', string.format('%d', deadline_ms + 20), name_work())
    redis.call('PEXPIREAT', check_at, string.format('%d', now_ms + 2592000000))
    announce_check(workers, now_ms, deadline_ms - now_ms + 20)
  end
  return string.format('%s 0 queued %d %d', found, count, deadline_ms - now_ms)
end
if is_turn_request and lease ~= '' and parse_run(loaded.run).fence == parse_lease(loaded.lease).fence then
  return redis.error_reply('INVALID_INPUT request_turn cannot be used in a turn, whose end would answer the messages')
end
if lease ~= '' then loaded.inbox = nil end
local run = lease ~= '' and parse_run(loaded.run)
local is_own_turn = run and run.turn and run.turn > 0 and run.fence == parse_lease(loaded.lease).fence
if is_own_turn or is_turn_request then loaded.opens_no_turn = true end -- a turn answers what is sent under its lease
loaded.expected_rev, loaded.seen, loaded.ancestor_keys = tonumber(expected_rev), seen, ancestor_keys
local result, reply, again = drain_inbox(session, messages, loaded, entries, field, operation_id, now_ms, now_us)
if again or not result then return again or reply end
if is_turn_request then
  --- include: open_turn
  open_turn(session, messages, loaded, entries, string.match(result, '^%d+ (%d+)') + 0, now_ms, true)
end
if loaded.has_turn then record_trace(session, trace, now_ms, loaded.is_turn_opened) end
if freed_lease then redis.call('HSET', session, 'lease', freed_lease) end
if format ~= '' then redis.call('HSETNX', session, 'format', format) end
extend_ancestors(ancestor_keys, now_ms)
if loaded.has_turn and is_queued then -- also for a turn that was open, should its queue have lost it
  --- include: schedule_run
  local when, check = 'now', 'keep'
  if lease ~= '' then when, check = 'keep', 'after' end -- the turn can be claimed when the lease ends
  schedule_run(queue, check_at, workers, name_work(), when, 0, check, parse_lease(loaded.lease).deadline_ms - now_ms + 20)
end
return string.format('%s 0 %s', found, result)
