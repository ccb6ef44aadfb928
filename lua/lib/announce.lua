-- Puts a run into its agent's queue, to be had in `delay` ms ('' leaves the queue as it is, '+' is now unless it is there, '*<ms>' is
-- now, in the place that its hint kept for so long, '-' takes it out), and notes when somebody is to look after it, in `look` ms. What can be
-- had now is offered to a worker that waits. Scores have microseconds, for the order. What nobody touched for a month is gone.
local function announce(queue, due, workers, run, delay, look)
  local time = redis.call('TIME')
  local now, at, hinted = time[1] * 1000 + time[2] / 1000, tonumber(delay), string.match(delay, '^%*(%d+)$')
  if delay == '-' then
    redis.call('ZREM', queue, run)
  elseif at or hinted or (delay == '+' and not redis.call('ZSCORE', queue, run)) then
    at = hinted and (redis.call('ZSCORE', queue, run) or now + hinted) - hinted or now + (at or 0)
    local till = string.format('%.3f', now + 1000)
    if at > now or not offer(workers, run, now, till) then till = string.format('%.3f', at) end
    redis.call('ZADD', queue, till, run)
    redis.call('PEXPIREAT', queue, string.format('%d', now + 2592000000))
  end
  if look == '-' then
    redis.call('ZREM', due, run)
  elseif look ~= '' then
    redis.call('ZADD', due, string.format('%d', now + look), run)
    redis.call('PEXPIREAT', due, string.format('%d', now + 2592000000))
  end
end
