-- Keep the trace context of the newest request of a turn, and its time. A turn that was opened without one has none.
local function record_trace(session, trace, now_ms, is_opened)
  if trace ~= '' then
    redis.call('HSET', session, 'trace', string.format('%s %d', trace, now_ms))
  elseif is_opened then
    redis.call('HDEL', session, 'trace')
  end
end
