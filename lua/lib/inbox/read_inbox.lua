-- Return the oldest messages in a session's inbox, in order, at most 500 and about 1 MB; the names of their fields; and the
-- record of what is left behind them with its bytes of senders, or nil when nothing is left. A message that another program
-- removed is replaced as `doctor --repair` replaces a damaged one, so that the messages behind it go on.
--- include: parse_inbox is_child_result
local function read_inbox(session, inbox_text)
  if not inbox_text then return {}, {} end
  local left, fields, entries, bytes, sent_bytes = parse_inbox(inbox_text), {}, {}, 0, 0
  while left.first <= left.last and #entries < 500 and bytes < 1000000 do
    local field = string.format('inbox.%d', left.first)
    local entry = redis.call('HGET', session, field) or 'x@0 damaged {"role":"system","content":"[damaged message]"}'
    fields[#fields + 1], entries[#entries + 1] = field, entry
    bytes, left.first = bytes + #entry, left.first + 1
    if is_child_result(entry) then left.results = left.results - 1 else sent_bytes = sent_bytes + #entry end
  end
  if left.first > left.last then return entries, fields end
  left.taken_bytes = sent_bytes
  return entries, fields, left
end
