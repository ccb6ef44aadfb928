-- Offer work to the first waiting worker that can hear it, reserved until a time: '<time> <work>'. The next worker is notified
-- to ask again after that time, because the first one may die. If the agent has a bound, or `work` is '', the first worker is
-- notified to ask, and nothing is reserved. Return whether a worker has the work.
--- include: parse_waiter publish_to_waiter
local function offer_run(workers, work, now_ms, reserved_until)
  local waiters, at, rest_at, is_notified, has_work = redis.call('GET', workers) or '', 1, 1, false, false
  if waiters == '' then return false end
  while at <= #waiters do
    local worker
    worker, at = parse_waiter(waiters, at)
    local is_waiting = worker.until_ms - now_ms > 0
    if is_notified then
      if is_waiting and publish_to_waiter(worker, 'held', '0 1050') then break end
    elseif is_waiting then
      has_work = work ~= '' and worker.detail ~= 'ask'
      if has_work then
        is_notified = publish_to_waiter(worker, 'run', reserved_until .. ' ' .. work)
      else
        is_notified = publish_to_waiter(worker, 'ask', '0 0')
      end
      has_work = has_work and is_notified
      rest_at = at
    end
    if is_notified and not has_work then break end
  end
  if not is_notified then rest_at = at end
  if rest_at > #waiters then
    redis.call('DEL', workers)
  else
    redis.call('SET', workers, string.sub(waiters, rest_at), 'KEEPTTL')
  end
  return has_work
end
