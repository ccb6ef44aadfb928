-- End the claim of a run or turn that was given back, or whose holder died: no worker has it. A claim that was not given back,
-- and has lost its lease, is a death. A plain write may have freed the lease since.
--- include: record_attempt format_run free_lease count_waiting
local function end_claim(session, messages, ancestor_keys, loaded, is_given, now_ms)
  local run, lease = loaded.run, loaded.lease
  local has_died = not is_given and loaded.is_open and run.fence > 0 and (loaded.is_free or lease.fence ~= run.fence)
  if has_died then
    local is_known = lease.fence == run.fence and lease.nonce ~= '-'
    local holder = is_known and lease or {since_ms = now_ms, owner = '-'}
    record_attempt(session, run, holder, now_ms, 'died', 'its worker died, or did not renew the lease')
    redis.call('HDEL', session, 'resumed')
  end
  if loaded.is_open and (is_given or has_died) and loaded.has_run then -- an ended run keeps the fence of its last claim
    run.fence, run.deadline_ms = 0, run.limit_ms
    redis.call('HSET', session, 'run', format_run(run))
    count_waiting(session, messages, ancestor_keys, now_ms, 1)
  end
  if loaded.incarnation and (is_given or (loaded.is_free and lease.nonce ~= '-')) then
    redis.call('HSET', session, 'lease', free_lease(lease.fence))
    loaded.is_free = true
  end
end
