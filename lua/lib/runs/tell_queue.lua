-- Write what was found about the work of a session into its queue, if the keys are those of the queue of its agent. `verdict` and
-- `check_ms` are as in runs/advance, and `given` is {is_given, outcome, delay_ms} of the claim that was given back. Return
-- whether the queue was written.
--- include: update_queue format_work parse_lineage
local function tell_queue(keys, agent, id, loaded, given, verdict, check_ms)
  local own_agent = loaded.answered_by or string.match(id, '^agent:([^:]+):subagent:') or ':inbox'
  if not loaded.incarnation or agent ~= own_agent then return false end
  local when, wait_ms, running_ms, next_ms = given.is_given and 'remove' or 'keep', 0, 0, check_ms
  if verdict == 'over' or verdict == 'cancelled' then
    when = 'remove'
  elseif verdict == 'free' then
    when = given.is_given and 'after' or 'now'
  elseif verdict == 'waiting' and given.is_given and given.outcome ~= 'parked' and given.delay_ms > 0 then
    when, wait_ms, next_ms = 'after', given.delay_ms, given.delay_ms + 1000
  elseif verdict == 'held' then
    running_ms = check_ms + 10000
  end
  local work = format_work(id, parse_lineage(loaded.lineage).ancestors, loaded.priority, loaded.fairness_key)
  update_queue(keys, work, when, wait_ms, next_ms > 0 and 'after' or 'remove', next_ms, '', running_ms)
  return true
end
