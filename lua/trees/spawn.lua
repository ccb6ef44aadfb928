-- Spawn a child of a session, if its tree has room: child, label, counts, and its place in the agent's queue, all or nothing.
-- The child lives no longer than its parent, nor past its parent's deadlines. An operation ID is one spawn.
-- Returns {incarnation, 'accepted', 'spawned <number in the tree> <id> <incarnation>'}, or {incarnation, 'forbidden', '<reason>
-- <current> <max>'}.
-- Errors: NEED_COPY SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_LOCKED LEASE_LOST NEED_ANCESTORS LIMIT_EXCEEDED
--   INVALID_INPUT
-- Index: touches
--- include: tail results_field check_incarnation check_operation find_spawned parse_lineage touch_for_wait read_clock
--- include: check_ancestor_keys check_ancestors check_lease check_spawn_limits new_counters parse_run parse_spawn_counts format_lineage format_run
--- include: child_settings parse_settings format_settings waiting_fields expire_session record_spawn record_result
--- include: extend_ancestors choose_report is_call_open
local session         = KEYS[1]       -- hash: the parent
local messages        = KEYS[2]       -- list
local child           = KEYS[3]       -- hash
local child_messages  = KEYS[4]       -- list
local queue           = KEYS[5]       -- zset, as in runs/schedule; the parent again where the queue has a slot of its own
local check_at        = KEYS[6]       -- zset, as in runs/schedule
local workers         = KEYS[7]       -- string, as in runs/schedule
local copy            = KEYS[8]       -- list: what messages/copy_part has copied; the child's list if nothing is
local kept_copy       = KEYS[9]       -- hash: the same of the messages of the hash; the child if nothing is
local ancestor_keys   = {unpack(KEYS, 10)} -- session and messages of each ancestor of the parent, its parent's first
local incarnation     = ARGV[1]       -- the incarnation of the parent that the caller knows, or ''
local operation_id    = ARGV[2]
local lease           = ARGV[3]       -- '<fence> <nonce>' of the lease on the parent it is made under, or ''
local parent_id       = ARGV[4]
local child_id        = ARGV[5]
local run_id          = ARGV[6]       -- the child's incarnation
local caps            = ARGV[7]       -- of the child: '<max_messages> <cap_policy> <max_message_bytes>'
local ttl_ms          = tonumber(ARGV[8]) -- of the child: idle life, or 0
local lifetime_ms     = tonumber(ARGV[9]) -- of the child: whole life, or 0
local tree_limits     = ARGV[10]      -- of a tree that has none of its own: '<depth> <children> <active> <descendants> <spawned>'
local label           = ARGV[11]      -- or ''
local on_parent_end   = ARGV[12]      -- 'c', 'd' or 'r'
local reference       = ARGV[13]      -- JSON: the tool call that spawned it, or '-'
local is_fork         = ARGV[14] == '1' -- it starts with the parent's messages
local inherits_user   = ARGV[15] == '1' -- it belongs to the parent's user
local max_attempts    = ARGV[16]      -- attempts that may fail, '-' when no worker may claim it
local run_timeout_ms  = tonumber(ARGV[17]) -- or 0
local delay_ms        = tonumber(ARGV[18]) -- after which it may be claimed, or 0
local run_at_ms       = tonumber(ARGV[19]) -- before which it must not be claimed, in ms since the epoch, or 0
local queue_prefix    = ARGV[20]      -- '@<priority>/<fairness key> ' of its place in the queue, or ''
local is_queued       = ARGV[21] == '1' -- the agent's queue is written, too
local reports         = ARGV[22]      -- templates of the child's result: '<format> <template>' lines, '-' for any other format; or ''
local copied_rev      = tonumber(ARGV[23]) -- of a fork: when messages/copy_part has copied the messages, the revision of the copy; or 0
local fields          = tail(ARGV, 24) -- of the child: name, value, … as the storage reference lists them
local field = results_field(operation_id)
local found, status, settings, lineage_text, children, run_text, results, recent, held, counters, user, idle_ttl, format = unpack(
  redis.call('HMGET', session, 'incarnation', 'status', 'settings', 'lineage', 'children', 'run', field, 'recent', 'lease',
  'counters', 'user', 'idle_ttl', 'format'))
local refusal = check_incarnation(found, incarnation) or check_operation(operation_id)
if refusal then return refusal end
local spawned = find_spawned(session, messages, child, child_id, results, recent, operation_id)
if spawned then
  touch_for_wait(session, found)
  return {found, 'accepted', spawned}
end
local now_ms, now_us = read_clock()
refusal = check_ancestor_keys(ancestor_keys, lineage_text)
if refusal then return refusal end
if check_ancestors(ancestor_keys, lineage_text) then return {found, 'forbidden', 'cancelled'} end
if status ~= 'active' then return {found, 'forbidden', 'parent_' .. status} end
local locked, freed_lease = check_lease(held, lease, now_ms)
if locked then return locked end
local root = ancestor_keys[#ancestor_keys - 1] or session
local tree, own_limits, root_incarnation, label_number, waiting, root_settings, root_idle_ttl = unpack(redis.call('HMGET', root,
  'tree', 'tree_limits', 'incarnation', 'label.' .. label, 'waiting', 'settings', 'idle_ttl'))
local full = check_spawn_limits(session, ancestor_keys, root, tree, own_limits or tree_limits, children, label_number)
if full then return {found, 'forbidden', full} end
local report = choose_report(reports, format)
local call = report and string.match(report, '^%S+ %-(%w+)')
if call and not is_call_open(redis.call('HGET', session, 'layout'), call) then return {found, 'forbidden', 'call_not_open'} end
local child_counters = new_counters(now_us)
if is_fork then
  --- include: copy_transcript
  child_counters, refusal = copy_transcript(session, messages, child, child_messages, caps, now_us, copy, kept_copy, copied_rev)
  if refusal then return refusal end
end
local parent, parent_run = parse_lineage(lineage_text), parse_run(run_text)
local tree_counts, child_counts = parse_spawn_counts(tree), parse_spawn_counts(children)
for _, counts in ipairs({tree_counts, child_counts}) do
  counts.total, counts.active = counts.total + 1, counts.active + 1
end
local number = string.format('%d', tree_counts.total)
local is_answered = false
for at = 1, #fields, 2 do is_answered = is_answered or fields[at] == 'answered_by' end
local is_claimable = max_attempts ~= '-' and not is_answered
local limit_ms, available_ms = parent_run.deadline_ms, math.max(run_at_ms, delay_ms > 0 and now_ms + delay_ms or 0)
local ancestors = parent.ancestors ~= '' and parent_id .. ' ' .. parent.ancestors or parent_id
local lineage = {
  number = number, root_incarnation = root_incarnation, path = parent.path .. number .. '/', id = child_id,
  ancestors = ancestors,
}
local its_settings, tree_settings = child_settings(settings, idle_ttl, caps, ttl_ms, lifetime_ms, now_ms), parse_settings(root_settings)
local waits, tree_waits = {}, {}
if is_claimable then
  waits = waiting_fields(number, 0, its_settings, nil)
  tree_waits = waiting_fields(number, waiting or 0, tree_settings, root_idle_ttl)
end
redis.call('HSET', child, 'incarnation', run_id, 'status', 'active', 'parent', parent_id, 'lineage', format_lineage(lineage),
  'run', format_run({
    attempts = 0, max_attempts = max_attempts, deadline_ms = limit_ms, limit_ms = limit_ms, timeout_ms = run_timeout_ms,
    available_ms = available_ms, fence = 0, turn = is_answered and 0 or nil, retries = 0, has_died = '0',
  }), 'settings', format_settings(its_settings), 'created', string.format('%.0f', now_us), unpack(waits))
if report then fields[#fields + 1], fields[#fields + 2] = 'report', report end
if inherits_user and user then fields[#fields + 1], fields[#fields + 2] = 'user', user end
redis.call('HSET', child, 'counters', child_counters, unpack(fields))
local expires_ms = expire_session(child, child_messages, now_ms, its_settings.ttl_ms, its_settings.deadline_ms)
record_spawn(session, root, child_counts, tree_counts, number, {
  id = child_id, parent = parent.number, status = 'active', on_parent_end = on_parent_end, incarnation = run_id,
  reference = reference,
}, label, tree_waits)
spawned = string.format('spawned %s %s %s', number, child_id, run_id)
record_result(session, counters, field, results or '', operation_id, spawned)
if freed_lease then redis.call('HSET', session, 'lease', freed_lease) end
local own = root == session and tree_settings or parse_settings(settings)
expire_session(session, messages, now_ms, own.ttl_ms, own.deadline_ms)
extend_ancestors(ancestor_keys, now_ms)
if is_queued then
  --- include: schedule_run
  local check_ms = math.min(expires_ms or math.huge, limit_ms or now_ms + 86400000) - now_ms
  local when = is_claimable and 'after' or 'keep'
  local wait_ms = math.max(available_ms - now_ms, 0)
  schedule_run(queue, check_at, workers, queue_prefix .. child_id .. ' ' .. ancestors, when, wait_ms, 'after', check_ms)
end
return {found, 'accepted', spawned}
