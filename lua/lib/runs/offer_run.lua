-- Offer work to the first waiting worker that can hear it, reserved until a time: '<time> <work>'. The next worker is notified
-- to ask again after that time, because the first one may die. If the agent has a bound, or `work` is '', the first worker is
-- notified to ask, and nothing is reserved. Return whether a worker has the work.
--- include: parse_waiter publish_to_waiter announce_check
local function offer_run(workers, work, now_ms, reserved_until)
  local waiters, at, is_notified, has_work = redis.call('GET', workers) or '', 1, false, false
  if waiters == '' then return false end
  while at <= #waiters and not is_notified do
    local worker
    worker, at = parse_waiter(waiters, at)
    if worker.until_ms - now_ms > 0 then
      has_work = work ~= '' and worker.detail ~= 'ask'
      if has_work then
        is_notified = publish_to_waiter(worker, 'run', reserved_until .. ' ' .. work)
      else
        is_notified = publish_to_waiter(worker, 'ask', '0 0')
      end
    end
  end
  if at > #waiters then
    redis.call('DEL', workers)
  else
    redis.call('SET', workers, string.sub(waiters, at), 'KEEPTTL')
  end
  has_work = has_work and is_notified
  if has_work then announce_check(workers, now_ms, 1050) end
  return has_work
end
