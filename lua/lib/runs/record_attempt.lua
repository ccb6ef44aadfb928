-- Count an attempt that failed, or whose worker died, and record it: '<start in ms> <end in ms> <failed or died> <worker> <error
-- as JSON>'. The last ten are kept. An encoded error is not cut.
--- include: json_quote
local function record_attempt(session, run, lease, now_ms, outcome, problem)
  run.attempts = run.attempts + 1
  run.has_died = outcome == 'died' and '1' or '0'
  local short = problem
  if #problem > 500 and string.byte(problem) ~= 1 then
    short = string.gsub(string.sub(problem, 1, 500), '[\192-\255][\128-\191]*$', '') .. ' …'
  end
  local log = (redis.call('HGET', session, 'attempt_log') or '')
    .. string.format('%d %d %s %s ', lease.since_ms, now_ms, outcome, lease.owner) .. json_quote(short) .. '\n'
  local _, lines = string.gsub(log, '\n', '')
  if lines > 10 then log = string.match(log, '\n(.*)$') end
  redis.call('HSET', session, 'attempt_log', log)
end
