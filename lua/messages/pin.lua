-- Pin or unpin a message and its group, so that the cap keeps or drops them. An unpinned message that only the hash holds is
-- dropped.
-- Returns {incarnation, '<rev>'}. The same call again changes nothing.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_LOCKED LEASE_LOST SESSION_NOT_ACTIVE
--   REVISION_CONFLICT MESSAGE_NOT_FOUND LIMIT_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: begin_write check_list parse_layout is_pinned is_kept starts_group message_tokens set_flags list_index list_seq
--- include: touch_for_wait check_pin_limit parse_settings find_back find_next_group set_group_pin kept_seqs set_kept_seqs save_layout
--- include: record_recent results_field commit_write
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local ancestor_keys = {unpack(KEYS, 3)}     -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]           -- the revision that must be current, or ''
local seq           = tonumber(ARGV[5]) -- the message
local pinned        = ARGV[6] == '1'    -- whether it must be pinned

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local counters, layout = write.counters, parse_layout(redis.call('HGET', session, 'layout'))
local refusal = check_list(messages, counters)
if refusal then return refusal end
local dropped, gaps = counters.dropped, layout.gaps
local at, field = list_index(seq, dropped, gaps), 'kept.' .. seq
local is_listed = at >= 0 and seq <= counters.last_seq and list_seq(at, dropped, gaps) == seq
local message = is_listed and redis.call('LINDEX', messages, at) or redis.call('HGET', session, field)
if not message then return redis.error_reply(string.format('MESSAGE_NOT_FOUND %.0f', seq)) end
if is_pinned(message) == pinned then
  touch_for_wait(session, write.incarnation)
  return {write.incarnation, string.format('%d', counters.rev)}
end
local max_messages, changed, _ = parse_settings(write.settings).max_messages, 0, nil
if is_listed then
  local start = find_back(messages, at, starts_group) or 0
  local behind = find_next_group(messages, at, counters.last_seq - dropped)
  _, refusal = check_pin_limit(session, pinned and behind - start or -1, max_messages)
  if refusal then return refusal end
  changed = set_group_pin(messages, start, behind, pinned)
  if layout.group > 0 and list_index(layout.group, dropped, gaps) <= at then layout.is_pinned = pinned end
elseif pinned then -- the task, or a summary
  _, refusal = check_pin_limit(session, 1, max_messages)
  if refusal then return refusal end
  redis.call('HSET', session, field, set_flags(message, string.byte(message, 10) + 1))
  changed = 1
else -- the group of a message that only its pin kept is unpinned with it
  local seqs, position = kept_seqs(session, layout), 1
  local function kept(other) return redis.call('HGET', session, 'kept.' .. seqs[other]) end
  while position < #seqs and seqs[position] ~= seq do position = position + 1 end
  local start, behind = position, position + 1
  while start > 1 and not starts_group(kept(start)) do start = start - 1 end
  while seqs[behind] and not starts_group(kept(behind)) do behind = behind + 1 end
  for other = behind - 1, start, -1 do
    local before = kept(other)
    if is_pinned(before) then
      local after = set_flags(before, string.byte(before, 10) - 1)
      changed = changed + 1
      if is_kept(after) or seqs[other] == layout.task then
        redis.call('HSET', session, 'kept.' .. seqs[other], after)
      else
        redis.call('HDEL', session, 'kept.' .. seqs[other])
        counters.bytes, counters.tokens = counters.bytes - #before, counters.tokens - message_tokens(before)
        table.remove(seqs, other)
      end
    end
  end
  write.results = record_recent(session, messages, write.recent, results_field(operation_id), write.results)
  set_kept_seqs(session, layout, seqs)
end
redis.call('HINCRBY', session, 'pins', pinned and changed or -changed)
save_layout(session, layout)
counters.plain_after = counters.last_seq
return commit_write(session, messages, write, operation_id, '')
