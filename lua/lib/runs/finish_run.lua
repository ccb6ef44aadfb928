-- Finish a run whose time is over, whose attempts are used up, that ended unseen by its tree, or that is gone. Whichever
-- process calls it, each of that happens once. Return 'cancelled' when its tree has members to finalize, else 'over', and
-- whether its parent must be advanced.
--- include: visit_tree_members parse_member build_result_message record_child_end deliver_result_to_parent apply_on_parent_end
--- include: prepare_end apply_end_effects end_session notify_holder count_waiting must_advance_parent
local function finish_run(session, messages, ancestor_keys, id, loaded, operation, now_ms, now_us, problem, parent_reason)
  local root, run, wakes_parent = ancestor_keys[#ancestor_keys - 1], loaded.run, false
  local is_timed_out = run.deadline_ms and run.deadline_ms <= now_ms
  if not loaded.incarnation then
    local number, member
    visit_tree_members(root or session, function(other, record)
      local found = string.find(record, id .. ' ', 1, true) == 1 and parse_member(record)
      if found and found.status == 'active' then number, member = string.format('%d', other), found end
      return number
    end)
    if number then
      local child = {incarnation = member.incarnation, id = id, created = now_ms * 1000}
      local entry, batch = build_result_message(child, 'timed_out', 'it expired', '', now_ms)
      count_waiting(session, messages, ancestor_keys, now_ms, -1, number)
      record_child_end(root, ancestor_keys[1], number, 'timed_out', now_ms)
      deliver_result_to_parent(ancestor_keys, entry, batch, now_ms, now_us)
      wakes_parent = must_advance_parent(ancestor_keys[1])
      apply_on_parent_end(root, number, false, 'its parent expired')
    end
  elseif not loaded.is_open and not loaded.is_cancelled then
    local plan = prepare_end(session, ancestor_keys, now_ms, loaded.status, '', '')
    apply_end_effects(session, messages, ancestor_keys, now_ms, now_us, loaded.status, plan)
    wakes_parent = plan.wakes_parent
  elseif loaded.is_open then
    local status, reason = 'failed', problem
    if is_timed_out then
      status, reason, parent_reason = 'timed_out', 'run timeout', nil
    elseif problem == '' then
      reason, parent_reason = string.format('%d of %s attempts ended without a result', run.attempts, run.max_attempts), nil
    end
    notify_holder(loaded.lease_text, 'lost', '0 0')
    local ended = end_session(session, messages, ancestor_keys, now_ms, now_us, operation, status, reason, '', parent_reason)
    wakes_parent = ended and ended[3]
  end
  return root and redis.call('HEXISTS', root, 'cancelled') == 1 and 'cancelled' or 'over', wakes_parent
end
