-- End a session by its plan (prepare_end), with all that follows: the sessions below it, its record in its tree, its result to
-- its parent. A child that is not to be kept is deleted. A second call does what was left to do. Return whether the session was
-- deleted. `plan.wakes_parent` is true then if the parent waits for it, or has its result in the inbox, so that the caller must
-- advance the parent.
--- include: count_waiting set_status apply_on_parent_end notify_waiters record_child_end deliver_result_to_parent
--- include: must_advance_parent keep_member_result
local function apply_end_effects(session, messages, ancestor_keys, now_ms, now_us, status, plan)
  local fields = plan.fields
  count_waiting(session, messages, ancestor_keys, now_ms, -1, plan.number)
  if not fields.finished then
    set_status(session, now_ms, status, plan.reason)
    if plan.result ~= '' then redis.call('HSET', session, 'result', plan.result) end
  end
  if fields.children and (status == 'cancelled' or not string.find(fields.children, ' 0$')) then
    apply_on_parent_end(plan.root, plan.number, status == 'cancelled', plan.reason)
  end
  if fields.join_waiters then notify_waiters(fields.join_waiters, 'ask', '0 0') end
  if not plan.entry then -- the parent has the result, but its queue may not have heard of it
    plan.wakes_parent = ancestor_keys[1] and must_advance_parent(ancestor_keys[1])
    return
  end
  record_child_end(plan.root, ancestor_keys[1], plan.number, status, now_ms)
  if plan.entry ~= '' then deliver_result_to_parent(ancestor_keys, plan.entry, plan.batch, now_ms, now_us) end
  plan.wakes_parent = must_advance_parent(ancestor_keys[1])
  if fields.cleanup ~= 'delete' then return false end
  keep_member_result(plan.root, plan.number, plan.reason, plan.result)
  redis.call('DEL', session, messages)
  return true
end
