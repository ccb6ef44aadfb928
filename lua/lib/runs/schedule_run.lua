-- Write work into its agent's queue, and when it must be checked. Work that is available now is offered to a waiting worker.
-- `when`: 'keep' leaves the queue as it is; 'now' makes the work available unless it waits already; 'after' makes it available
-- in `delay_ms`; 'confirm' makes it available at the place that its reservation kept for `delay_ms`; 'reserve' makes it
-- available in `delay_ms` unless it waits already; 'remove' takes it out.
-- `check`: 'keep', 'after' `check_ms`, or 'remove'. Scores have microseconds, for the order. Available work has a score 10^12
-- ms before now, so that the work stays available when the clock goes back. The keys live for 30 days.
-- Work that is due soon is announced to a waiting worker, because workers ask every 10 s only.
--- include: read_clock offer_run announce_check
local function schedule_run(queue, check_at, workers, work, when, delay_ms, check, check_ms)
  local now_ms, now_us = read_clock()
  local instant, expires = now_us / 1000, string.format('%d', now_ms + 2592000000)
  local soonest_ms = 10000
  if when == 'remove' then
    redis.call('ZREM', queue, work)
  elseif when ~= 'keep' then
    local before, at = redis.call('ZSCORE', queue, work), instant
    if when == 'after' or when == 'reserve' then at = instant + delay_ms end
    if when == 'confirm' then at = (before or instant + delay_ms) - delay_ms end
    -- work that is reserved is offered again, because the worker may have found that it could not be claimed yet
    local is_kept = before and (when == 'reserve' or (when == 'now' and before + 0 <= instant))
    if not is_kept then
      local score = string.format('%.3f', instant + 1000)
      if at > instant then
        score, soonest_ms = string.format('%.3f', at), at - instant
      elseif not offer_run(workers, work, now_ms, score) then
        score = string.format('%.3f', at - 10^12)
      end
      redis.call('ZADD', queue, score, work)
      redis.call('PEXPIREAT', queue, expires)
    end
  end
  if check == 'remove' then
    redis.call('ZREM', check_at, work)
  elseif check == 'after' then
    redis.call('ZADD', check_at, string.format('%d', now_ms + check_ms), work)
    redis.call('PEXPIREAT', check_at, expires)
    soonest_ms = math.min(soonest_ms, check_ms)
  end
  announce_check(workers, now_ms, soonest_ms)
end
