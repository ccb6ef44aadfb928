-- Make a run that failed or timed out available again, or a turn that failed, with new attempts. A run becomes active again in
-- its tree, if that has room, and its next result is a message of its own to its parent.
-- Returns {incarnation, 'free', 0, queue, 0, 0, 0}, as runs/advance does.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_NOT_ACTIVE INVALID_TRANSITION INVALID_INPUT LIMIT_EXCEEDED
-- Index: may_relist
--- include: read_clock load_run describe_queue format_run check_incarnation count_waiting set_status save_counters
--- include: parse_counters parse_lineage parse_member format_member parse_spawn_counts format_spawn_counts free_lease
--- include: count_active_children drop_request
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]       -- the same retry again changes nothing
local tree_limits   = ARGV[3]       -- of a tree that has none of its own, as in trees/spawn

local function find_full(name, counts, max)
  if max ~= '-' and counts.active >= max + 0 then
    return redis.error_reply(string.format('LIMIT_EXCEEDED %s %d %s error', name, counts.active + 1, max))
  end
end
local now_ms, now_us = read_clock()
local loaded, refusal = load_run(session, ancestor_keys, now_ms)
if not loaded then return refusal end
refusal = check_incarnation(loaded.incarnation, incarnation)
if refusal then return refusal end
local found, run, queue = loaded.incarnation, loaded.run, describe_queue(loaded)
if redis.call('HGET', session, 'retried') == operation_id then return {found, 'free', loaded.left_ms, queue, 0, 0, 0} end
if loaded.is_cancelled then return redis.error_reply('SESSION_NOT_ACTIVE cancelled') end
local is_turn = loaded.is_open and run.turn and run.turn > 0
if is_turn and run.attempts < run.max_attempts + 0 then
  return redis.error_reply('INVALID_INPUT retry is for what failed; the turn is open and workers can claim it')
end
if not is_turn then
  if run.max_attempts == '-' or run.turn then
    return redis.error_reply('INVALID_INPUT retry is for a run or a turn that failed; the session has none')
  end
  if loaded.is_open then
    return redis.error_reply('INVALID_INPUT retry is for what failed; the run has not ended')
  end
  if loaded.status ~= 'failed' and loaded.status ~= 'timed_out' then
    return redis.error_reply('INVALID_TRANSITION ' .. loaded.status .. ' active')
  end
  if run.limit_ms and run.limit_ms <= now_ms then
    return redis.error_reply('INVALID_INPUT retry came after the deadline of the parent')
  end
  local parent, root = ancestor_keys[1], ancestor_keys[#ancestor_keys - 1]
  local status, children = unpack(redis.call('HMGET', parent, 'status', 'children'))
  if status ~= 'active' and status ~= 'paused' then
    return redis.error_reply('SESSION_NOT_ACTIVE ' .. (status or 'deleted'))
  end
  local number, label = parse_lineage(loaded.lineage).number, redis.call('HGET', session, 'label')
  local field = 'member.' .. number
  local tree, record, own_limits = unpack(redis.call('HMGET', root, 'tree', field, 'tree_limits'))
  local member, tree_counts, child_counts = parse_member(record), parse_spawn_counts(tree), parse_spawn_counts(children)
  if member.status ~= 'active' then
    local max_children, max_active = string.match(own_limits or tree_limits, '^%S+ (%S+) (%S+)')
    refusal = find_full('max_children', child_counts, max_children) or find_full('max_active', tree_counts, max_active)
    if refusal then return refusal end
  end
  if label then
    local holder = redis.call('HGET', root, 'label.' .. label)
    if holder and holder ~= number and parse_member(redis.call('HGET', root, 'member.' .. holder)).status == 'active' then
      return redis.error_reply('INVALID_INPUT retry needs the label of the run, which another active session of the tree has')
    end
    redis.call('HSET', root, 'label.' .. label, number)
  end
  if member.status ~= 'active' then
    member.status = 'active'
    tree_counts.active, child_counts.active = tree_counts.active + 1, child_counts.active + 1
    redis.call('HSET', root, 'tree', format_spawn_counts(tree_counts), field, format_member(member))
    redis.call('HSET', parent, 'children', format_spawn_counts(child_counts))
  end
  redis.call('HDEL', session, 'finished', 'result', 'parked', 'resumed', 'lease_waiters')
  local own = parse_spawn_counts(redis.call('HGET', session, 'children'))
  if own.active > 0 then -- its end cancelled some of them
    own.active = count_active_children(root, number)
    redis.call('HSET', session, 'children', format_spawn_counts(own))
  end
  redis.call('HSET', session, 'lease', free_lease(loaded.lease.fence)) -- no earlier holder goes on
  set_status(session, now_ms, 'active', '')
end
drop_request(ancestor_keys[#ancestor_keys - 1] or session, parse_lineage(loaded.lineage).number)
run.retries = run.retries + 1
run.attempts, run.available_ms, run.deadline_ms, run.has_died, run.fence = 0, now_ms - 10^12, run.limit_ms, '0', 0
redis.call('HSET', session, 'run', format_run(run), 'retried', operation_id)
local counters, settings = unpack(redis.call('HMGET', session, 'counters', 'settings'))
save_counters(session, messages, now_ms, now_us, settings, parse_counters(counters))
count_waiting(session, messages, ancestor_keys, now_ms, 1)
return {found, 'free', loaded.left_ms, queue, 0, 0, 0}
