-- Pin or unpin a message, so that the cap keeps or drops it. Unpinning one that only the hash holds drops it.
-- Returns {incarnation, '<rev>'}; doing it twice changes nothing.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_LOCKED LEASE_LOST SESSION_NOT_ACTIVE REVISION_CONFLICT
--   MESSAGE_NOT_FOUND LIMIT_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: tail begin_write is_pinned touch_for_wait check_pin_limit parse_settings message_tokens commit_write
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
local counters = write.counters
local at, field = seq - counters.dropped - 1, string.format('pinned.%.0f', seq)
local message = at >= 0 and redis.call('LINDEX', messages, at) or redis.call('HGET', session, field)
if not message then return redis.error_reply(string.format('MESSAGE_NOT_FOUND %.0f', seq)) end
if is_pinned(message) == pinned then
  touch_for_wait(session, write.incarnation)
  return {write.incarnation, string.format('%d', counters.rev)}
end
local pins, refusal = check_pin_limit(session, pinned and 1 or -1, parse_settings(write.settings).max_messages)
if refusal then return refusal end
if at >= 0 then
  local flags = string.char(string.byte(message, 15) + (pinned and 1 or -1))
  redis.call('LSET', messages, at, string.sub(message, 1, 14) .. flags .. string.sub(message, 16))
else
  local left = {}
  for other in string.gmatch(redis.call('HGET', session, 'pinned_trimmed'), '%d+') do
    if other + 0 ~= seq then left[#left + 1] = other end
  end
  redis.call('HDEL', session, field)
  redis.call('HSET', session, 'pinned_trimmed', table.concat(left, ' '))
  counters.bytes, counters.tokens = counters.bytes - #message, counters.tokens - message_tokens(message)
end
redis.call('HSET', session, 'pins', pins)
return commit_write(session, messages, write, operation_id, '')
