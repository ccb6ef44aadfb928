-- Begin a guarded write that edits the transcript of a session, which must be active unless one message is replaced in its place
-- (`is_redaction`). Return what begin_write returns, or nil and the reply.
--- include: begin_write check_list find_recent
local function begin_edit(session, messages, ancestor_keys, incarnation, lease, expected_rev, operation, is_redaction)
  local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation)
  if not write then return nil, reply end
  local before = find_recent(session, messages, write.recent, operation)
  if before then return nil, {write.incarnation, before, 1} end
  if write.status ~= 'active' and not is_redaction then return nil, redis.error_reply('SESSION_NOT_ACTIVE ' .. write.status) end
  reply = check_list(messages, write.counters)
  if reply then return nil, reply end
  return write
end
