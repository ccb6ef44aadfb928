-- Return 'cancelled', 'requested' or '' for a session, by the marks of its root, and the reason.
--- include: parse_lineage
local function read_cancel_state(root, lineage_text, status, reason)
  if status == 'cancelled' then return 'cancelled', reason or '' end
  local path = parse_lineage(lineage_text).path
  local cancelled, cancelled_why, requested, requested_why =
    unpack(redis.call('HMGET', root, 'cancelled', 'cancelled_why', 'requested', 'requested_why'))
  local function includes(numbers)
    for number in string.gmatch(numbers or '', '%d+') do
      if string.find(path, '/' .. number .. '/', 1, true) then return true end
    end
  end
  if includes(cancelled) then return 'cancelled', cancelled_why or '' end
  if includes(requested) then return 'requested', requested_why or '' end
  return '', ''
end
