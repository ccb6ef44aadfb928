-- Holds what an append would make of a session against its limits. Returns its limit state, or the refusal, second;
-- the action end_session ends the session with the refusal. `opened` counts a turn that waits for its answer.
local function admit(session, messages, now, rules, limits, before, opened, turns, last)
  local since = redis.call('HMGET', session, 'created', 'cleared', 'budget', 'spent')
  local entries, duration = last - (since[2] or 0), now - math.floor(since[1] / 1000)
  local passed = check(limits, opened, entries, duration) or overspent(since[3], since[4])
  local action = string.match(limits, '%S+$')
  if not passed or action == 'ignore' then
    local _, state = check(limits, turns, entries, duration)
    return state
  end
  if action == 'end_session' then
    finish(session, now, 'completed', 'limit ' .. passed)
    change(session, messages, now, rules, counts(before))
  end
  return nil, redis.error_reply('LIMIT ' .. passed .. ' ' .. action)
end
