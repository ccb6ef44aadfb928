-- Return 'cancelled', 'requested' or '' for a session, by the marks of its root, and the reason.
--- include: parse_lineage has_mark
local function read_cancel_state(root, lineage_text, status, reason)
  if status == 'cancelled' then return 'cancelled', reason or '' end
  local path = parse_lineage(lineage_text).path
  local cancelled, cancelled_why, requested, requested_why =
    unpack(redis.call('HMGET', root, 'cancelled', 'cancelled_why', 'requested', 'requested_why'))
  if has_mark(root, cancelled, path) then return 'cancelled', cancelled_why or '' end
  if has_mark(root, requested, path) then return 'requested', requested_why or '' end
  return '', ''
end
