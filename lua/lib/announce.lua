-- Puts a run into its agent's queue, to be had in `delay` ms ('' leaves the queue as it is, '+' is
-- now unless it is there, '-' takes it out), and notes when
-- somebody is to look after it, in `look` ms (as above). What is free now is offered to a worker that waits. What nobody
-- has touched for a month is gone.
local function announce(queue, due, workers, run, now, delay, look)
  if delay == '-' then
    redis.call('ZREM', queue, run)
  elseif delay ~= '' and not (delay == '+' and redis.call('ZSCORE', queue, run)) then
    local at = now + (tonumber(delay) or 0)
    if at - now == 0 and offer(workers, run, now) then at = now + 1000 end
    redis.call('ZADD', queue, string.format('%d', at), run)
    redis.call('PEXPIREAT', queue, string.format('%d', now + 2592000000))
  end
  if look == '-' then
    redis.call('ZREM', due, run)
  elseif look ~= '' then
    redis.call('ZADD', due, string.format('%d', now + look), run)
    redis.call('PEXPIREAT', due, string.format('%d', now + 2592000000))
  end
end
