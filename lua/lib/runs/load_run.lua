-- Read what decides about the work of a session. Return the table: {incarnation, status, settings, lineage, lease and run
-- (parsed), lease_text, task, inbox, parked, resumed, answered_by, priority, fairness_key, lease_waiters, idle_ttl, created, trace,
-- has_run, is_open, is_free, is_cancelled, left_ms}, or nil and the refusal when ancestors' keys are missing.
--- include: read_fields check_ancestor_keys check_ancestors parse_run parse_lease
local function load_run(session, ancestor_keys, now_ms)
  local loaded = read_fields(session, {'incarnation', 'status', 'settings', 'lineage', 'lease', 'run', 'task', 'lease_waiters',
    'inbox', 'parked', 'resumed', 'answered_by', 'priority', 'fairness_key', 'idle_ttl', 'created', 'trace'})
  local refusal = check_ancestor_keys(ancestor_keys, loaded.lineage)
  if refusal then return nil, refusal end
  loaded.is_cancelled, loaded.has_run = check_ancestors(ancestor_keys, loaded.lineage) ~= nil, loaded.run ~= nil
  loaded.lease_text = loaded.lease
  loaded.run, loaded.lease = parse_run(loaded.run), parse_lease(loaded.lease)
  loaded.is_open = loaded.status == 'active' or loaded.status == 'paused'
  loaded.is_free = loaded.lease.deadline_ms - now_ms <= 0
  loaded.lease_waiters = loaded.lease_waiters or ''
  local left_ms = redis.call('PTTL', session)
  if left_ms < 0 then left_ms = 86400000 end
  if loaded.run.deadline_ms and not loaded.run.turn then left_ms = math.min(left_ms, loaded.run.deadline_ms - now_ms) end
  loaded.left_ms = left_ms
  return loaded
end
