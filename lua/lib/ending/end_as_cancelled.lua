-- Give an open session the status of the cancellation of its tree. The caller applies the effects of the end in the tree.
--- include: set_status save_counters parse_counters
local function end_as_cancelled(session, messages, reason, now_ms, now_us)
  local counters, settings = unpack(redis.call('HMGET', session, 'counters', 'settings'))
  if not counters then return end
  set_status(session, now_ms, 'cancelled', reason)
  save_counters(session, messages, now_ms, now_us, settings, parse_counters(counters))
end
