-- Compare the counts of a session after an append with its limits. Return the limit state, or nil and the refusal. The action
-- end_session ends the session with the refusal, unless `loaded.never_ends`; in a tree the caller then applies the effects of
-- the end (sessions/set_status). `last_seq`, `turns` and `pending_turn` are those after the append.
--- include: parse_limits evaluate_limits find_exceeded_budget set_status save_counters parse_counters
local function enforce_limits(session, messages, now_ms, now_us, loaded, last_seq, turns, pending_turn)
  local limits = parse_limits(loaded.limits)
  if loaded.never_ends and limits.action == 'end_session' then limits.action = 'error' end
  local created_us, cleared, budget, spent = unpack(redis.call('HMGET', session, 'created', 'cleared', 'budget', 'spent'))
  local entries, duration_ms = last_seq - (loaded.cleared or cleared or 0), now_ms - math.floor(created_us / 1000)
  local exceeded = evaluate_limits(limits, turns + pending_turn, entries, duration_ms)
  if not exceeded and budget and string.find(budget, ' append$') then -- another budget refuses spawns only
    exceeded = find_exceeded_budget(budget, spent)
  end
  if not exceeded or limits.action == 'ignore' then
    local _, state = evaluate_limits(limits, turns, entries, duration_ms)
    return state
  end
  if limits.action == 'end_session' then
    loaded.is_ended = true
    set_status(session, now_ms, 'completed', 'limit ' .. exceeded)
    save_counters(session, messages, now_ms, now_us, loaded.settings, parse_counters(loaded.counters))
  end
  return nil, redis.error_reply('LIMIT_EXCEEDED ' .. exceeded .. ' ' .. limits.action)
end
