-- Read what decides about a run. Return the table: {incarnation, status, settings, lineage, lease (parsed), run (parsed), task,
-- is_open, is_free, is_cancelled, is_overdue, left_ms}, or nil and the refusal when ancestors' keys are missing.
--- include: read_fields check_ancestors parse_run parse_lease parse_waiter
local function load_run(session, ancestor_keys, now_ms)
  local loaded = read_fields(session, {'incarnation', 'status', 'settings', 'lineage', 'lease', 'run', 'task',
    'lease_waiters'})
  local cancelled, is_incomplete = check_ancestors(ancestor_keys, loaded.lineage)
  if is_incomplete then return nil, cancelled end
  loaded.is_cancelled = cancelled ~= nil
  loaded.run, loaded.lease = parse_run(loaded.run), parse_lease(loaded.lease)
  loaded.is_open = loaded.status == 'active' or loaded.status == 'paused'
  loaded.is_free = loaded.lease.deadline_ms - now_ms <= 0
  local waiters, at = loaded.lease_waiters or '', 1
  while at <= #waiters do
    local waiter
    waiter, at = parse_waiter(waiters, at)
    if waiter.until_ms - now_ms > 0 then loaded.is_free = false end
  end
  loaded.is_overdue = loaded.run.deadline_ms and loaded.run.deadline_ms <= now_ms
  local left_ms = redis.call('PTTL', session)
  if left_ms < 0 then left_ms = 86400000 end
  if loaded.run.deadline_ms then left_ms = math.min(left_ms, loaded.run.deadline_ms - now_ms) end
  loaded.left_ms = left_ms
  return loaded
end
