-- Write work into its agent's queue, when it must be checked, and until when it counts as running. `keys` are those of the queue:
-- {queue, check_at, workers, ready, running}. With `reserved_until` nothing is written unless the work is in the queue with
-- this time.
--- include: read_clock schedule_run offer_run
local function update_queue(keys, work, when, delay_ms, check, check_ms, reserved_until, running_ms)
  if reserved_until ~= '' and tonumber(redis.call('ZSCORE', keys.queue, work) or 0) ~= tonumber(reserved_until) then return end
  local now_ms = read_clock()
  local is_handed_out = when == 'now' and (redis.call('ZSCORE', keys.queue, work) or 0) - now_ms > 0
  if running_ms > 0 then
    redis.call('ZADD', keys.running, 'XX', string.format('%d', now_ms + running_ms), work)
  elseif not is_handed_out and redis.call('ZREM', keys.running, work) == 1 then
    offer_run(keys.workers, '', 0, '')
  end
  if when ~= 'keep' and redis.call('ZSCORE', keys.ready, work) then
    if when == 'now' or when == 'reserve' then
      when = 'keep'
    else
      redis.call('ZREM', keys.ready, work)
    end
  end
  schedule_run(keys.queue, keys.check_at, keys.workers, work, when, delay_ms, check, check_ms)
end
