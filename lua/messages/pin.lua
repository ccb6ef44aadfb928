-- Pin or unpin a message and its group, so that the cap keeps or drops them. Unpinning one that only the hash holds drops it.
-- Returns {incarnation, '<rev>'}; doing it twice changes nothing.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_LOCKED LEASE_LOST SESSION_NOT_ACTIVE REVISION_CONFLICT
--   MESSAGE_NOT_FOUND LIMIT_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: tail begin_write parse_layout is_pinned is_kept starts_group message_tokens set_flags list_index list_seq touch_for_wait
--- include: check_pin_limit parse_settings find_group_start set_group_pin save_layout commit_write
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local ancestor_keys = tail(KEYS, 3)     -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]           -- the revision that must be current, or ''
local seq           = tonumber(ARGV[5]) -- the message
local pinned        = ARGV[6] == '1'    -- whether it must be pinned

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local counters, layout = write.counters, parse_layout(redis.call('HGET', session, 'layout'))
local dropped, gaps = counters.dropped, layout.gaps
local at, field = list_index(seq, dropped, gaps), 'kept.' .. seq
local is_listed = at >= 0 and seq <= counters.last_seq and list_seq(at, dropped, gaps) == seq
local message = is_listed and redis.call('LINDEX', messages, at) or redis.call('HGET', session, field)
if not message then return redis.error_reply(string.format('MESSAGE_NOT_FOUND %.0f', seq)) end
if is_pinned(message) == pinned then
  touch_for_wait(session, write.incarnation)
  return {write.incarnation, string.format('%d', counters.rev)}
end
local start, changed, _, refusal = is_listed and (find_group_start(messages, at) or at), 0, nil, nil
local max_messages = parse_settings(write.settings).max_messages
if is_listed then
  local size, next_message = 1, redis.call('LINDEX', messages, start + 1)
  while next_message and not starts_group(next_message) do
    size, next_message = size + 1, redis.call('LINDEX', messages, start + size + 1)
  end
  _, refusal = check_pin_limit(session, pinned and size or -1, max_messages)
  if refusal then return refusal end
  changed = set_group_pin(messages, start, pinned)
  if layout.group > 0 and list_index(layout.group, dropped, gaps) <= at then layout.is_pinned = pinned end
elseif pinned then -- the task, or a summary
  _, refusal = check_pin_limit(session, 1, max_messages)
  if refusal then return refusal end
  redis.call('HSET', session, field, set_flags(message, string.byte(message, 15) + 1))
  changed = 1
else
  local left, groups, group, wanted = {}, {}, 0, nil
  for position, other in ipairs(layout.aside) do -- the group of a message that only its pin kept is unpinned with it
    if starts_group(redis.call('HGET', session, 'kept.' .. other)) then group = group + 1 end
    groups[position] = group
    if other == seq then wanted = group end
  end
  for position, other in ipairs(layout.aside) do
    local kept, stays = redis.call('HGET', session, 'kept.' .. other), true
    if groups[position] == wanted and is_pinned(kept) then
      changed, kept = changed + 1, set_flags(kept, string.byte(kept, 15) - 1)
      stays = is_kept(kept) or other == layout.task
      if stays then
        redis.call('HSET', session, 'kept.' .. other, kept)
      else
        redis.call('HDEL', session, 'kept.' .. other)
        counters.bytes, counters.tokens = counters.bytes - #kept, counters.tokens - message_tokens(kept)
      end
    end
    if stays then left[#left + 1] = other end
  end
  layout.aside = left
end
redis.call('HINCRBY', session, 'pins', pinned and changed or -changed)
save_layout(session, layout)
return commit_write(session, messages, write, operation_id, '')
