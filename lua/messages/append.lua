-- Append a batch of messages to a session: all of it or none, capped, counted, its life extended.
-- A batch ID among the session's last 64 operations returns its first result and changes nothing, whatever became of the lease.
-- Returns {incarnation, seq, rev, count} for one message that is not a duplicate and reaches no limit; or, in any case,
-- '<incarnation> <is_duplicate> <first> <last> <rev> <count> <dropped> <limit state>'.
-- Errors: NEED_ANCESTORS NEED_REPEAT SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED
--   LEASE_LOST REVISION_CONFLICT SESSION_REGRESSED OUTCOME_UNKNOWN MESSAGE_TOO_LARGE LIMIT_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: tail results_field recent_mark find_marked append_one
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first; then the deltas, to be removed
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]           -- the batch ID
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]           -- the revision that must be current, or ''
local seen          = tonumber(ARGV[5]) -- the highest seq that was acknowledged to the caller, or 0
local elapsed_ms    = ARGV[6]           -- since the first attempt, or '' for the first attempt
local format        = ARGV[7]           -- the message format, if the session has none that is known, or ''
local entries       = #ARGV > 8 and tail(ARGV, 8) or {ARGV[8]} -- messages: '<kind><flags><tokens> <batch ID> [<facts> ]<payload>'

local field, mark = results_field(operation_id), recent_mark(operation_id)
local found, status, counters, settings, layout, held, recent, results, limits, lineage, subscribers = unpack(redis.call(
  'HMGET', session, 'incarnation', 'status', 'counters', 'settings', 'layout', 'lease', 'recent', field, 'limits', 'lineage',
  'subscribers'))
layout, results, recent = layout ~= '' and layout, results or '', recent or ''
-- Most appends take the short way. Its conditions are the checks of the long way, as far as a few instructions can tell.
local is_unlocked = not held or string.find(held, ' - 0 0 0 - -', 1, true) -- see free_lease
if lease ~= '' then is_unlocked = held and string.find(held, lease .. ' ', 1, true) == 1 end
local is_open = found and (incarnation == '' or incarnation == found) and status == 'active' and not string.find(operation_id, '%s')
local is_new = elapsed_ms == '' and not string.find(results, operation_id, 1, true)
if is_new and string.find(recent, mark, 1, true) then is_new = not find_marked(messages, recent, mark, operation_id) end
local is_simple = is_unlocked and not (limits or entries[2]) and expected_rev == '' and string.byte(entries[1], 2) % 2 == 0
local time, is_short_way, seq, rev, count = redis.call('TIME'), is_open and is_new and is_simple and not lineage, nil, nil, nil
if is_short_way then
  seq, rev, count = append_one(
    session, messages, counters, settings, layout, entries[1], operation_id, seen, time, recent, mark, field, results)
  if seq and format == '' and not (subscribers or ancestor_keys[1]) then return {found, seq, rev, count} end
end

--- include: check_incarnation check_operation touch_for_wait check_lease
local now_us, deltas = time[1] * 1000000 + time[2], #ancestor_keys % 2 > 0 and table.remove(ancestor_keys)
local now_ms, result, refusal, freed_lease = math.floor(now_us / 1000), nil, nil, nil
if not is_short_way then
  refusal = check_incarnation(found, incarnation) or check_operation(operation_id)
  if refusal then return refusal end
  local before
  if not is_new then
    --- include: find_before
    before = find_before(session, messages, results, recent, operation_id)
  end
  if not before and elapsed_ms ~= '' then
    --- include: find_batch_in_transcript
    before, refusal = find_batch_in_transcript(messages, counters, layout, operation_id, elapsed_ms, now_ms)
  end
  if before then touch_for_wait(session, found) end
  if before or refusal then return refusal or found .. ' 1 ' .. before end
  if status ~= 'active' then return redis.error_reply('SESSION_NOT_ACTIVE ' .. status) end
  if lineage then
    --- include: check_ancestors
    refusal = check_ancestors(ancestor_keys, lineage)
    if refusal then return refusal end
  end
  refusal, freed_lease = check_lease(held, lease, now_ms)
  if refusal then return refusal end
  if is_simple then
    seq, rev, count = append_one(
      session, messages, counters, settings, layout, entries[1], operation_id, seen, time, recent, mark, field, results)
  end
end
if seq then
  result = string.format('%d %d %d %d %d ok', seq, seq, rev, count, seq - count)
else
  --- include: append_entries
  local loaded = {
    incarnation = found, counters = counters, settings = settings, limits = limits, layout = layout, results = results,
    recent = recent ~= '' and recent, expected_rev = tonumber(expected_rev), seen = seen,
  }
  if freed_lease then -- the messages that the holder did not receive come first, unless a limit refuses them
    --- include: drain_inbox
    local inbox, answered_by, run = unpack(redis.call('HMGET', session, 'inbox', 'answered_by', 'run'))
    loaded.inbox, loaded.answered_by, loaded.run, loaded.ancestor_keys = inbox or nil, answered_by, run, ancestor_keys
    if not inbox then loaded.opens_no_turn = true end
    local again
    result, refusal, again = drain_inbox(session, messages, loaded, entries, field, operation_id, now_ms, now_us)
    if again then return again end
  end
  if not result and not loaded.is_ended then
    result, refusal = append_entries(session, messages, loaded, entries, field, operation_id, now_ms, now_us, 0)
  end
  if not result then return refusal end
end
if freed_lease then redis.call('HSET', session, 'lease', freed_lease) end
if ancestor_keys[1] then
  --- include: extend_ancestors
  extend_ancestors(ancestor_keys, now_ms)
end
if deltas then redis.call('UNLINK', deltas) end
if subscribers then
  --- include: notify_subscribers
  notify_subscribers(session, subscribers, now_ms, 'new', string.match(result, '^%d+ (%d+)'))
end
if format ~= '' then redis.call('HSETNX', session, 'format', format) end
return found .. ' 0 ' .. result
