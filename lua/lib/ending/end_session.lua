-- End a session for good: move its inbox into the transcript, unless a limit refuses it, then apply the effects of the end.
-- `parent_reason`, if given, is the reason in the message to the parent. Return {incarnation, '<rev>', whether the parent must be
-- advanced}, or nil and the refusal. One part of a long inbox moves here: sessions/set_status has moved the parts before, and
-- runs/advance moves the parts behind. An end that deletes the session is recorded in the parent.
--- include: prepare_end results_field drain_for_end parse_counters apply_end_effects record_result commit_write
local function end_session(session, messages, ancestor_keys, now_ms, now_us, operation, status, reason, result, parent_reason)
  local plan, refusal = prepare_end(session, ancestor_keys, now_ms, status, reason, result, parent_reason)
  if refusal then return nil, refusal end
  local loaded = drain_for_end(session, messages, operation, now_ms, now_us)
  local field = results_field(operation)
  local counters, results = unpack(redis.call('HMGET', session, 'counters', field))
  if not counters then return nil, redis.error_reply('SESSION_NOT_FOUND -') end
  local rev = string.format('%d', parse_counters(counters).rev + 1)
  if apply_end_effects(session, messages, ancestor_keys, now_ms, now_us, status, plan) then
    local parent_counters, parent_results = unpack(redis.call('HMGET', ancestor_keys[1], 'counters', field))
    if parent_counters then record_result(ancestor_keys[1], parent_counters, field, parent_results, operation, rev) end
    return {loaded.incarnation, rev, plan.wakes_parent}
  end
  local write = {
    incarnation = loaded.incarnation, counters = parse_counters(counters),
    settings = redis.call('HGET', session, 'settings'), results = results or '',
    now_ms = now_ms, now_us = now_us, ancestor_keys = ancestor_keys,
  }
  local ended = commit_write(session, messages, write, operation, '')
  ended[3] = plan.wakes_parent
  return ended
end
