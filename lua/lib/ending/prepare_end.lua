-- Work out what the end of a session does, before anything is written. Return the plan: {fields, number, root, entry, batch,
-- reason, result}; without an entry the tree knows of the end already. A session that ended before keeps its reason and result.
-- `parent_reason`, if given, is the reason in the message to the parent. Or return nil and the refusal of a result that is too
-- large for the parent.
--- include: parse_run read_fields parse_lineage parse_member build_result_message parse_settings
local function prepare_end(session, ancestor_keys, now_ms, status, reason, result, parent_reason)
  local fields = read_fields(session, {'incarnation', 'lineage', 'label', 'agent', 'created', 'usage', 'children', 'cleanup',
    'finished', 'reason', 'result', 'join_waiters', 'report', 'run'})
  if fields.finished then reason, result, parent_reason = fields.reason or '', fields.result or '', nil end
  local lineage, root = parse_lineage(fields.lineage), ancestor_keys[#ancestor_keys - 1] or session
  local plan = {fields = fields, number = lineage.number, root = root, reason = reason, result = result}
  if not fields.lineage then return plan end
  if parse_member(redis.call('HGET', root, 'member.' .. lineage.number) or '').status ~= 'active' then return plan end
  fields.id, fields.retries = lineage.id, parse_run(fields.run).retries
  local entry, batch, size = build_result_message(fields, status, parent_reason or reason, result, now_ms)
  local settings = redis.call('HGET', ancestor_keys[1], 'settings')
  local max_bytes = settings and parse_settings(settings).max_message_bytes
  if max_bytes and result ~= '' and size > max_bytes then
    return nil, redis.error_reply('MESSAGE_TOO_LARGE ' .. size .. ' ' .. max_bytes)
  end
  plan.entry, plan.batch = entry, batch
  return plan
end
