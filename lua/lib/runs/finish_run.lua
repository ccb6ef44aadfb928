-- Finish a run whose time is over, whose attempts are used up, that ended unseen by its tree, or that is gone. Whichever
-- process calls it, each of that happens once. Return 'cancelled' when its tree has members to finalize, else 'over'.
--- include: read_tree_members parse_member build_result_message record_child_end deliver_result_to_parent apply_on_parent_end
--- include: prepare_end apply_end_effects end_session
local function finish_run(session, messages, ancestor_keys, id, loaded, operation, now_ms, now_us)
  local root, run = ancestor_keys[#ancestor_keys - 1], loaded.run
  if not loaded.incarnation then
    for number, record in ipairs(root and read_tree_members(root) or {}) do
      local member = parse_member(record)
      if member.id == id and member.status == 'active' then
        local child = {incarnation = member.incarnation, id = id, created = now_ms * 1000}
        local entry, batch = build_result_message(child, 'timed_out', 'it expired', '', now_ms)
        record_child_end(root, ancestor_keys[1], number, 'timed_out', now_ms)
        deliver_result_to_parent(ancestor_keys, entry, batch, now_ms, now_us)
        apply_on_parent_end(root, string.format('%d', number), false, 'its parent expired')
      end
    end
  elseif not loaded.is_open and not loaded.is_cancelled then
    local plan = prepare_end(session, ancestor_keys, now_ms, loaded.status, '', '')
    apply_end_effects(session, messages, ancestor_keys, now_ms, now_us, loaded.status, plan)
  elseif loaded.is_open and loaded.is_overdue then
    end_session(session, messages, ancestor_keys, now_ms, now_us, operation, 'timed_out', 'run timeout', '')
  elseif loaded.is_open then
    local reason = string.format('%d of %s attempts ended without a result', run.attempts, run.max_attempts)
    end_session(session, messages, ancestor_keys, now_ms, now_us, operation, 'failed', reason, '')
  end
  return root and redis.call('HEXISTS', root, 'cancelled') == 1 and 'cancelled' or 'over'
end
