-- Append a batch of messages to a session: all of it or none, capped, counted, its life extended.
-- A batch ID among the session's last 64 operations returns its first result and changes nothing, whatever became of the lease.
-- Returns '<incarnation> <is_duplicate> <first seq> <last seq> <rev> <count> <dropped> <limit state>'.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST REVISION_CONFLICT
--   SESSION_REGRESSED OUTCOME_UNKNOWN MESSAGE_TOO_LARGE LIMIT_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: tail results_field read_clock find_result append_entries
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local ancestor_keys = tail(KEYS, 3)     -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]           -- the batch ID
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]           -- the revision that must be current, or ''
local seen          = tonumber(ARGV[5]) -- the highest seq that the caller was told, or 0
local elapsed_ms    = ARGV[6]           -- since the first attempt, or '' for the first attempt
local format        = ARGV[7]           -- the message format, if the session has none that is known, or ''
local entries       = tail(ARGV, 8)     -- messages: '<kind><flags><tokens> <batch ID> [<facts> ]<payload>'

local field = results_field(operation_id)
local found, status, counters, settings, limits, layout, results, held, lineage, subscribers = unpack(redis.call(
  'HMGET', session, 'incarnation', 'status', 'counters', 'settings', 'limits', 'layout', field, 'lease', 'lineage',
  'subscribers'))
if not found or (incarnation ~= '' and incarnation ~= found) or string.find(operation_id, '%s') then
  --- include: check_incarnation check_operation
  return check_incarnation(found, incarnation) or check_operation(operation_id)
end
local now_ms, now_us = read_clock()
local loaded = {
  incarnation = found, counters = counters, settings = settings, limits = limits, layout = layout ~= '' and layout,
  results = results or '', expected_rev = tonumber(expected_rev), seen = seen,
}
local before = results and find_result(results, operation_id)
if before or elapsed_ms ~= '' then
  --- include: find_batch_in_transcript touch_for_wait
  local reply = before and found .. ' 1 ' .. before
  reply = reply or find_batch_in_transcript(messages, loaded, operation_id, elapsed_ms, now_ms)
  if reply then
    touch_for_wait(session, found)
    return reply
  end
end
local is_unlocked = not held or string.find(held, ' - 0 0 0 - -', 1, true)
if lease ~= '' then is_unlocked = held and string.match(held, '^%d+ %S+') == lease end
local result, refusal
if loaded.layout or string.byte(entries[1], 2) > 65 then
  --- include: group_call
  loaded.group = group_call
end
if status == 'active' and is_unlocked and not (lineage or limits or subscribers) then
  -- Most appends go here. Defining a function takes time, so this block must define none.
  result, refusal = append_entries(session, messages, loaded, entries, field, operation_id, now_ms, now_us, 0)
else
  --- include: check_ancestors check_lease drain_inbox enforce_limits extend_ancestors notify_subscribers encode_message_event
  if status ~= 'active' then return redis.error_reply('SESSION_NOT_ACTIVE ' .. status) end
  refusal = check_ancestors(ancestor_keys, lineage)
  if refusal then return refusal end
  local lease_refusal, expired_lease = check_lease(held, lease, now_ms)
  if lease_refusal then return lease_refusal end
  if expired_lease then -- the messages that the holder did not receive come first, unless a limit refuses them
    --- include: drain_inbox
    local inbox, answered_by, run = unpack(redis.call('HMGET', session, 'inbox', 'answered_by', 'run'))
    loaded.inbox, loaded.answered_by, loaded.run = inbox or nil, inbox and answered_by or nil, run
    loaded.ancestor_keys = ancestor_keys
    result, refusal = drain_inbox(session, messages, loaded, entries, field, operation_id, now_ms, now_us)
  end
  if not result and not loaded.is_ended then
    result, refusal =
      append_entries(session, messages, loaded, entries, field, operation_id, now_ms, now_us, 0, enforce_limits)
  end
  if not result then return refusal end
  if expired_lease then redis.call('HSET', session, 'lease', expired_lease) end
  extend_ancestors(ancestor_keys, now_ms)
  if subscribers and not expired_lease then
    --- include: notify_subscribers encode_message_event
    notify_subscribers(session, subscribers, now_ms, encode_message_event(entries, string.match(result, '^%d+ (%d+)')))
  end
end
if not result then return refusal end
if format ~= '' then redis.call('HSETNX', session, 'format', format) end
return found .. ' 0 ' .. result
