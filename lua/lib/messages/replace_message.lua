-- Replace one message in its place, for a guarded write. Its time, its seq, its pin, its kind, and the tool calls that it makes
-- or answers stay. Return the reply, or the refusal.
--- include: parse_settings parse_entry message_kind message_batch message_tokens message_facts set_facts set_flags list_index list_seq
--- include: log_change commit_write
local function replace_message(session, messages, write, operation_id, layout, seq, entry)
  local max_bytes = parse_settings(write.settings).max_message_bytes
  local _, _, _, space = parse_entry(entry)
  local size = #entry - space - #operation_id - 1
  if size > max_bytes then return redis.error_reply(string.format('MESSAGE_TOO_LARGE %d %d', size, max_bytes)) end
  local counters = write.counters
  local at, field = list_index(seq, counters.dropped, layout.gaps), 'kept.' .. seq
  local is_listed = at >= 0 and seq <= counters.last_seq and list_seq(at, counters.dropped, layout.gaps) == seq
  local before = is_listed and redis.call('LINDEX', messages, at) or redis.call('HGET', session, field)
  if not before then return redis.error_reply(string.format('MESSAGE_NOT_FOUND %.0f', seq)) end
  local head, rest = string.match(entry, '^(%S+) %S+(.*)$') -- the batch ID stays, too, by which a repeated append is found
  local message = string.sub(before, 1, 8) .. head .. ' ' .. message_batch(before) .. rest
  local facts, old_facts = message_facts(message), message_facts(before)
  local plain_facts = string.gsub(old_facts, '[!?]', {['!'] = '+', ['?'] = '-'})
  if message_kind(message) ~= message_kind(before) or plain_facts ~= facts then
    return redis.error_reply(string.format('EDIT_CONFLICT other_calls %.0f %.0f 0 0', seq, counters.last_seq))
  end
  if facts ~= '' then message = set_facts(message, facts, old_facts) end
  message = set_flags(message, string.byte(before, 10))
  if is_listed then redis.call('LSET', messages, at, message) else redis.call('HSET', session, field, message) end
  counters.bytes = counters.bytes + #message - #before
  counters.tokens = counters.tokens + message_tokens(message) - message_tokens(before)
  log_change(session, write.now_ms, string.format('edited:%d', seq))
  return commit_write(session, messages, write, operation_id,
    string.format('replace_message %d %d', counters.last_seq - counters.dropped + layout.kept, counters.dropped - layout.kept))
end
