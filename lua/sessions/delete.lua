-- Delete the hash and the lists of a session, and wake those that wait for its lease. sessions/remove_rest deletes its ledger and
-- parts. An order: it needs no lease, but a lease that it names must be held. A session of a tree must have ended first
-- (sessions/set_status), and the sessions below it must be deleted first (trees/finalize_members).
-- Returns {'deleted', its number, '1' if it has a ledger or parts}, {'missing', '', '1' if its messages were there}, {'kept',
-- ''} (it moved on, is in use, or waits), {'open', number, revision} (it must end first), or {'parent', number, incarnation}
-- (the sessions below it must be deleted first).
-- Errors: SESSION_REPLACED LEASE_LOST NEED_ANCESTORS REVISION_CONFLICT
-- Index: may_end
--- include: read_clock parse_lease parse_spawn_counts parse_counters check_ancestor_keys check_lease parse_lineage
--- include: notify_subscribers notify_waiters notify_holder
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local deltas        = KEYS[3]       -- list
local popped        = KEYS[4]       -- list
local ancestor_keys = {unpack(KEYS, 5)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local lease         = ARGV[2]       -- '<fence> <nonce>' of the lease it is made under, or ''
local updated_us    = ARGV[3]       -- the time of its last update, or '': a session that moved on, or is in use, stays
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local swept         = ARGV[5]       -- the incarnation below which all sessions were deleted, or ''

local found, held, lease_waiters, lineage, children, subscribers, counters, tree, finished, has_ledger, has_parts, waiting = unpack(
  redis.call('HMGET', session, 'incarnation', 'lease', 'lease_waiters', 'lineage', 'children', 'subscribers', 'counters',
  'tree', 'finished', 'has_ledger', 'has_parts', 'waiting'))
if not found then
  redis.call('UNLINK', deltas, popped)
  local torn = redis.call('DEL', session, messages) > 0 -- what is left of a session whose hash is gone
  return {'missing', '', torn and '1' or nil}
end
if incarnation ~= '' and found ~= incarnation then return redis.error_reply('SESSION_REPLACED ' .. found) end
local now_ms = read_clock()
if updated_us ~= '' then
  local holder = parse_lease(held)
  local is_held = holder.nonce ~= '-' and holder.deadline_ms - now_ms > 0
  local is_in_use = is_held or waiting or parse_spawn_counts(tree).active > 0
  if is_in_use or parse_counters(counters).updated_us ~= updated_us + 0 then return {'kept', ''} end
end
local refusal = check_ancestor_keys(ancestor_keys, lineage) or (lease ~= '' and check_lease(held, lease, now_ms))
if refusal then return refusal end
local rev = expected_rev ~= '' and parse_counters(counters).rev
if rev and rev ~= expected_rev + 0 then return redis.error_reply(string.format('REVISION_CONFLICT %d', rev)) end
local number = parse_lineage(lineage).number
if (lineage or children) and not finished then return {'open', number, string.format('%d', parse_counters(counters).rev)} end
if children and swept ~= found then return {'parent', number, found} end
notify_holder(held, 'lost', '0 0')
if subscribers then notify_subscribers(session, subscribers, now_ms, 'gone', '0 0') end
redis.call('UNLINK', session, messages, deltas, popped)
notify_waiters(lease_waiters or '', 'ask', '0 0')
return {'deleted', number, has_ledger or has_parts or nil}
