-- Offer a run to the first waiting worker that can hear it, reserved until a time: '<time> <run>'. Return whether one was told.
--- include: parse_waiter publish_to_waiter
local function offer_run(workers, run, now_ms, reserved_until)
  local waiters, at, is_told = redis.call('GET', workers) or '', 1, false
  if waiters == '' then return false end
  while at <= #waiters and not is_told do
    local worker
    worker, at = parse_waiter(waiters, at)
    is_told = worker.until_ms - now_ms > 0 and publish_to_waiter(worker, 'run', reserved_until .. ' ' .. run)
  end
  if at > #waiters then
    redis.call('DEL', workers)
  else
    redis.call('SET', workers, string.sub(waiters, at), 'KEEPTTL')
  end
  return is_told
end
