-- Write a run into its agent's queue, and when it must be checked. A run that is available now is offered to a waiting worker.
-- `when`: 'keep' leaves the queue as it is; 'now' makes the run available unless it waits already; 'after' makes it available
-- in `delay_ms`; 'confirm' makes it available at the place that its reservation kept for `delay_ms`; 'remove' takes it out.
-- `check`: 'keep', 'after' `check_ms`, or 'remove'. Scores have microseconds, for the order. The keys live for 30 days.
--- include: read_clock offer_run
local function schedule_run(queue, check_at, workers, run, when, delay_ms, check, check_ms)
  local now_ms, now_us = read_clock()
  local instant, expires = now_us / 1000, string.format('%d', now_ms + 2592000000)
  if when == 'remove' then
    redis.call('ZREM', queue, run)
  elseif when == 'after' or when == 'confirm' or (when == 'now' and not redis.call('ZSCORE', queue, run)) then
    local at = instant
    if when == 'after' then at = instant + delay_ms end
    if when == 'confirm' then at = (redis.call('ZSCORE', queue, run) or instant + delay_ms) - delay_ms end
    local score = string.format('%.3f', instant + 1000)
    if at > instant or not offer_run(workers, run, now_ms, score) then score = string.format('%.3f', at) end
    redis.call('ZADD', queue, score, run)
    redis.call('PEXPIREAT', queue, expires)
  end
  if check == 'remove' then
    redis.call('ZREM', check_at, run)
  elseif check == 'after' then
    redis.call('ZADD', check_at, string.format('%d', now_ms + check_ms), run)
    redis.call('PEXPIREAT', check_at, expires)
  end
end
