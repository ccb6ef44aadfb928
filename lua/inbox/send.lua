-- Send a message to a session. While another worker holds its lease the message waits in the inbox; else it is appended, behind
-- the messages that still wait there. A batch ID among the session's last 64 operations returns its first result.
-- Returns '<incarnation> <is_duplicate> <first> <last> <rev> <count> <dropped> <limit state>', or '<incarnation> <is_duplicate>
-- queued <messages that wait>'.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_NOT_ACTIVE LEASE_LOST OUTCOME_UNKNOWN MESSAGE_TOO_LARGE
--   LIMIT_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: tail results_field load_session check_operation parse_inbox find_result touch_for_wait read_clock read_inbox
--- include: find_batch_in_transcript check_ancestors check_lease parse_entry parse_settings enqueue_inbox extend_ancestors
--- include: drain_inbox
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = tail(KEYS, 3) -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]       -- the batch ID
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is sent under, or ''
local elapsed_ms    = ARGV[4]       -- since the first attempt, or '' for the first attempt
local entry         = ARGV[5]       -- '<kind><flags><tokens> <batch ID> [<facts> ]<payload>'

local field = results_field(operation_id)
local loaded, refusal = load_session(session, incarnation, field)
refusal = refusal or check_operation(operation_id)
if refusal then return refusal end
local found, inbox = loaded.incarnation, parse_inbox(loaded.inbox)
local before = find_result(loaded.results, operation_id)
if before then
  touch_for_wait(session, found)
  return found .. ' 1 ' .. before
end
local now_ms, now_us = read_clock()
if elapsed_ms ~= '' then
  for _, other in ipairs(read_inbox(session, loaded.inbox)) do
    if string.match(other, ' (%S+)') == operation_id then before = string.format('%s 1 queued %d', found, inbox.size) end
  end
  before = before or find_batch_in_transcript(messages, loaded, operation_id, elapsed_ms, now_ms)
  if before then
    touch_for_wait(session, found)
    return before
  end
end
if loaded.status ~= 'active' then return redis.error_reply('SESSION_NOT_ACTIVE ' .. loaded.status) end
refusal = check_ancestors(ancestor_keys, loaded.lineage)
if refusal then return refusal end
local locked, expired_lease = check_lease(loaded.lease, lease, now_ms)
if locked and lease ~= '' then return locked end
if locked then
  local _, _, _, space = parse_entry(entry)
  local size, max_bytes = #entry - space - #operation_id - 1, parse_settings(loaded.settings).max_message_bytes
  if size > max_bytes then return redis.error_reply(string.format('MESSAGE_TOO_LARGE %d %d', size, max_bytes)) end
  if inbox.size + 1 > loaded.max_inbox + 0 then
    return redis.error_reply(string.format('LIMIT_EXCEEDED inbox %d %s error', inbox.size + 1, loaded.max_inbox))
  end
  local count = enqueue_inbox(session, messages, loaded, entry, field, operation_id, now_ms)
  extend_ancestors(ancestor_keys, now_ms)
  return string.format('%s 0 queued %d', found, count)
end
if lease ~= '' then loaded.inbox = nil end
local result, reply = drain_inbox(session, messages, loaded, {entry}, field, operation_id, now_ms, now_us)
if not result then return reply end
if expired_lease then redis.call('HSET', session, 'lease', expired_lease) end
extend_ancestors(ancestor_keys, now_ms)
return string.format('%s 0 %s', found, result)
