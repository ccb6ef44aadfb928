-- Notify the first waiting worker that can hear it to ask in some ms. Workers ask every 10 s in any case.
--- include: parse_waiter publish_to_waiter
local function announce_check(workers, now_ms, wait_ms)
  local waiters, at = wait_ms < 10000 and redis.call('GET', workers) or '', 1
  while at <= #waiters do
    local worker
    worker, at = parse_waiter(waiters, at)
    if worker.until_ms - now_ms > 0 and publish_to_waiter(worker, 'held', string.format('0 %d', wait_ms)) then return end
  end
end
