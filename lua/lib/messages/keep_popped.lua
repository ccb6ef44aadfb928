-- Keep popped messages for a repeated call: the last 64 of the session, for `keep_ms` at most. Each is two elements of the list:
-- '<operation ID> <time in ms> <seq>', and the message.
local function keep_popped(session, popped, operation, now_ms, keep_ms, seqs, found)
  if #seqs == 0 then return end
  for at, message in ipairs(found) do
    redis.call('RPUSH', popped, string.format('%s %.0f %.0f', operation, now_ms, seqs[at]), message)
  end
  redis.call('LTRIM', popped, -128, -1)
  local left_ms = redis.call('PTTL', session)
  redis.call('PEXPIRE', popped, left_ms < 0 and keep_ms or math.min(left_ms, keep_ms))
end
