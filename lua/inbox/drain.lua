-- Move the oldest messages of the inbox into the transcript, for the holder of the lease: once, in order, all or none.
-- Returns {incarnation, seq of the first, messages, 1 if more wait}; the same operation again returns the same, as far as it is
-- retained.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED LEASE_LOST SESSION_NOT_ACTIVE LIMIT_EXCEEDED
--   INVALID_INPUT
-- Index: touches
--- include: results_field load_session check_operation find_result parse_counters parse_layout list_index list_seq touch_for_wait read_clock
--- include: check_ancestors check_lease drain_inbox extend_ancestors
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the caller's lease

local field = results_field(operation_id)
local loaded, refusal = load_session(session, incarnation, field)
refusal = refusal or check_operation(operation_id)
if refusal then return refusal end
local found, result, entries = loaded.incarnation, find_result(loaded.results, operation_id), nil
if result then
  local first, last = string.match(result, '^(%d+) (%d+)')
  local dropped, gaps = parse_counters(loaded.counters).dropped, parse_layout(loaded.layout).gaps
  touch_for_wait(session, found)
  local low, high = math.max(list_index(first + 0, dropped, gaps), 0), list_index(last + 1, dropped, gaps) - 1
  local is_left = loaded.inbox and 1 or 0
  if high < low then return {found, 0, {}, is_left} end
  return {found, list_seq(low, dropped, gaps), redis.call('LRANGE', messages, low, high), is_left}
end
local now_ms, now_us = read_clock()
refusal = check_ancestors(ancestor_keys, loaded.lineage) or check_lease(loaded.lease, lease, now_ms)
if refusal then return refusal end
if loaded.status ~= 'active' then return redis.error_reply('SESSION_NOT_ACTIVE ' .. loaded.status) end
if not loaded.inbox then return {found, 0, {}, 0} end
loaded.opens_no_turn, loaded.allows_partial = true, true -- the holder answers, and asks for the next part
local again
result, entries, again = drain_inbox(session, messages, loaded, {}, field, operation_id, now_ms, now_us)
if not result then return entries end
extend_ancestors(ancestor_keys, now_ms)
return {found, string.match(result, '^%d+') + 0, entries, again and 1 or 0}
