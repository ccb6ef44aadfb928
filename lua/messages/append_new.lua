-- Append a batch of messages to a session like messages/append, but leave out those whose ID the session had before: all of the
-- rest, or none. An ID stays known when its message leaves.
-- Returns '<incarnation> <is_duplicate> <messages left out> <first> <last> <rev> <count> <dropped> <limit state>'. 0 0 when all
-- are left out.
-- Errors: NEED_ANCESTORS NEED_REPEAT SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED
--   LEASE_LOST REVISION_CONFLICT SESSION_REGRESSED OUTCOME_UNKNOWN MESSAGE_TOO_LARGE LIMIT_EXCEEDED BOUND_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: tail load_session results_field check_operation find_before touch_for_wait read_clock check_lease append_entries
--- include: select_new open_parts parse_part_totals format_part_totals extend_parts entry_batch parse_counters
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local parts         = KEYS[3]           -- hash: parts with their messages, and the IDs
local part_names    = KEYS[4]           -- zset: names of the parts
local ancestor_keys = {unpack(KEYS, 5)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]           -- the batch ID
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]           -- the revision that must be current, or ''
local seen          = tonumber(ARGV[5]) -- the highest seq that was acknowledged to the caller, or 0
local elapsed_ms    = ARGV[6]           -- since the first attempt, or '' for the first attempt
local format        = ARGV[7]           -- the message format, if the session has none that is known, or ''
local max_ids       = tonumber(ARGV[8]) -- messages of all parts and IDs of the session's messages that may be stored
local entries       = tail(ARGV, 9)     -- messages: '<kind><flags><tokens> <ID or batch ID> [<facts> ]<payload>'

local field = results_field(operation_id)
local loaded, refusal = load_session(session, incarnation, field)
refusal = refusal or check_operation(operation_id)
if refusal then return refusal end
local now_ms, now_us = read_clock()
local before = find_before(session, messages, loaded.results, loaded.recent, operation_id)
if not before and elapsed_ms ~= '' and entry_batch(entries[#entries]) == operation_id then
  --- include: find_batch_in_transcript
  before, refusal = find_batch_in_transcript(messages, loaded.counters, loaded.layout, operation_id, elapsed_ms, now_ms)
end
if before then touch_for_wait(session, loaded.incarnation) end
if before or refusal then return refusal or loaded.incarnation .. ' 1 0 ' .. before end
if loaded.status ~= 'active' then return redis.error_reply('SESSION_NOT_ACTIVE ' .. loaded.status) end
if loaded.lineage then
  --- include: check_ancestors
  refusal = check_ancestors(ancestor_keys, loaded.lineage)
  if refusal then return refusal end
end
local freed_lease
refusal, freed_lease = check_lease(loaded.lease, lease, now_ms)
if refusal then return refusal end
local has_parts, subscribers = unpack(redis.call('HMGET', session, 'has_parts', 'subscribers'))
local totals = has_parts and redis.call('HGET', parts, 'totals')
if has_parts and not totals then return redis.error_reply('SESSION_DAMAGED parts 0 1') end
totals = parse_part_totals(totals)
local new, left_out = select_new(has_parts and parts, 0, entries, operation_id)
if #new == 0 then
  local counters = parse_counters(loaded.counters)
  if expected_rev ~= '' and expected_rev + 0 ~= counters.rev then
    return redis.error_reply(string.format('REVISION_CONFLICT %d', counters.rev))
  end
  touch_for_wait(session, loaded.incarnation)
  return string.format('%s 0 %d 0 0 %d %d %d ok', loaded.incarnation, left_out, counters.rev, counters.last_seq - counters.dropped,
    counters.dropped)
end
local ids = {}
for _, entry in ipairs(new) do
  local id = entry_batch(entry)
  if id ~= operation_id then
    ids[#ids + 1] = 'id.0 ' .. id
    ids[#ids + 1] = '1'
  end
end
totals.ids = totals.ids + #ids / 2
if totals.messages + totals.ids > max_ids then
  return redis.error_reply(string.format('BOUND_EXCEEDED part_messages %d %d', totals.messages + totals.ids, max_ids))
end
loaded.expected_rev, loaded.seen, loaded.ancestor_keys = tonumber(expected_rev), seen, ancestor_keys
local result
if freed_lease then -- the messages that the holder did not receive come first, unless a limit refuses them
  --- include: drain_inbox
  if not loaded.inbox then loaded.opens_no_turn = true end
  local again
  result, refusal, again = drain_inbox(session, messages, loaded, new, field, operation_id, now_ms, now_us)
  if again then return again end
end
if not result and not loaded.is_ended then
  result, refusal = append_entries(session, messages, loaded, new, field, operation_id, now_ms, now_us, 0)
end
if not result then return refusal end
open_parts(session, parts, part_names, has_parts)
for first = 1, #ids, 1000 do redis.call('HSET', parts, unpack(ids, first, math.min(first + 999, #ids))) end
redis.call('HSET', parts, 'totals', format_part_totals(totals))
if freed_lease then redis.call('HSET', session, 'lease', freed_lease) end
if ancestor_keys[1] then
  --- include: extend_ancestors
  extend_ancestors(ancestor_keys, now_ms)
end
extend_parts(session, parts, part_names)
if subscribers then
  --- include: notify_subscribers
  notify_subscribers(session, subscribers, now_ms, 'new', string.match(result, '^%d+ (%d+)'))
end
if format ~= '' then redis.call('HSETNX', session, 'format', format) end
return string.format('%s 0 %d %s', loaded.incarnation, left_out, result)
