-- Edit the tail of a transcript and the state in one step: abandon calls, remove the messages above a seq, append others, set
-- and remove state. Without the messages above seq 0 the counts of messages and turns begin again.
-- Returns {incarnation, '<first seq> <last seq> <rev> <count> <dropped> <limit state>'} of the appended messages. Without
-- messages the first seq is that of the removed messages. The same operation again returns its first result, then 1. A limit of
-- the session refuses the edit and ends nothing. With writes of shared scopes a new edit returns 0, then the revisions of the
-- writes that waited before.
-- Errors: NEED_ANCESTORS NEED_PLAN SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED
--   LEASE_LOST REVISION_CONFLICT SESSION_REGRESSED OUTCOME_UNKNOWN EDIT_CONFLICT STATE_CONFLICT MESSAGE_TOO_LARGE
--   LIMIT_EXCEEDED BOUND_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: tail begin_edit check_state end_expired_lease parse_layout results_field extend_ancestors check_outbox check_gaps
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local ancestor_keys = {unpack(KEYS, 3)}     -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]           -- the batch ID
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]           -- the revision that must be current, or ''
local after_seq     = tonumber(ARGV[5]) -- messages above it are removed, or -1 to remove none
local last_seq      = ARGV[6]           -- the highest seq that the session must have, or ''
local check_count   = tonumber(ARGV[7]) -- how many fields must have a value
local set_count     = tonumber(ARGV[8]) -- how many fields are set
local remove_count  = tonumber(ARGV[9]) -- how many fields are removed
local bounds        = ARGV[10]          -- '<metadata bytes> <state bytes> <variable bytes> <number of values>'
local format        = ARGV[11]          -- the message format, if the session has none that is known, or ''
local abandoned     = ARGV[12]          -- '<hash> …' of call IDs to abandon, '*' for all open calls, or ''
local elapsed_ms    = ARGV[13]          -- since the first attempt, or '' for the first attempt
local seen          = tonumber(ARGV[14]) -- the highest seq that was acknowledged to the caller, or 0
local plan          = ARGV[15]          -- what NEED_PLAN said, or ''
local kind          = ARGV[16]          -- '<kind of edit> ', with which the result begins, or '' for an append
local scope_writes  = ARGV[17]          -- of shared scopes, which the session keeps until they are applied, or ''
local max_outbox    = tonumber(ARGV[18]) -- how many such writes may wait
local rest          = tail(ARGV, 19)    -- name, value ('' for none), … to check; name, value, … to set; names to remove; entries

local write, reply = begin_edit(session, messages, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local counters = write.counters
local is_moved = last_seq ~= '' and last_seq + 0 ~= counters.last_seq
if is_moved or after_seq > counters.last_seq then
  return redis.error_reply(string.format('EDIT_CONFLICT %s %.0f %.0f 0 0', is_moved and 'moved' or 'beyond_end',
    is_moved and last_seq or after_seq, counters.last_seq))
end
local set_from, refusal, value_bytes = check_state(session, rest, check_count, set_count, remove_count, bounds)
if refusal then return refusal end
local remove_from = set_from + set_count * 2
local entries = tail(rest, remove_from + remove_count)
local limits, text, pins, outbox = unpack(redis.call('HMGET', session, 'limits', 'layout', 'pins', 'outbox'))
local layout, staying, going, unpinned = parse_layout(text), nil, nil, 0
local length, abandoned_count = counters.last_seq - counters.dropped, 0
if elapsed_ms ~= '' and #entries > 0 then
  --- include: find_edit_in_transcript
  reply = find_edit_in_transcript(session, messages, write, operation_id, elapsed_ms, text, kind)
  if reply then return reply end
end
refusal = scope_writes ~= '' and check_outbox(outbox, max_outbox)
if refusal then return refusal end
if abandoned ~= '' and #layout.open > 0 then
  --- include: abandon_calls
  abandoned_count = abandon_calls(messages, layout, counters, abandoned)
  counters.user_seq, counters.plain_after = math.max(counters.user_seq, layout.user_seq or 0), counters.last_seq
end
if after_seq >= 0 then
  --- include: plan_truncation
  staying, going, unpinned = plan_truncation(session, messages, counters, layout, after_seq, plan)
  if not staying then return going end
end
local is_cut = staying and (staying < length or #going > 0 or after_seq == 0)
refusal = is_cut and check_gaps(layout)
if refusal then return refusal end
local function remove()
  if not is_cut then return end
  --- include: remove_tail
  remove_tail(session, messages, write, layout, operation_id, after_seq, staying, going, unpinned)
end

local result
if #entries > 0 then
  --- include: append_entries notify_subscribers format_counters format_layout
  local loaded = {
    counters = format_counters(counters), settings = write.settings, limits = limits, layout = format_layout(layout),
    results = write.results, recent = write.recent, seen = seen, kind = kind, never_ends = true, before_push = remove,
    unpinned = after_seq == 0 and pins or unpinned,
    cleared = after_seq == 0 and counters.last_seq,
  }
  result, refusal = append_entries(session, messages, loaded, entries, results_field(operation_id), operation_id,
    write.now_ms, write.now_us, 0)
  if not result then return refusal end
  local subscribers = redis.call('HGET', session, 'subscribers')
  if subscribers then
    notify_subscribers(session, subscribers, write.now_ms, 'new', string.match(result, '%d+ (%d+)'))
  end
else
  --- include: commit_edit
  remove()
  result = commit_edit(session, messages, write, layout, operation_id, kind, after_seq + 1, abandoned_count)
end
for field = set_from, remove_from - 1, 2 do redis.call('HSET', session, rest[field], rest[field + 1]) end
for field = remove_from, remove_from + remove_count - 1 do redis.call('HDEL', session, rest[field]) end
if value_bytes then redis.call('HSET', session, 'value_bytes', value_bytes) end
if format ~= '' then redis.call('HSETNX', session, 'format', format) end
extend_ancestors(ancestor_keys, write.now_ms)
end_expired_lease(session, write)
if scope_writes == '' then return {write.incarnation, result} end
--- include: add_to_outbox
return {write.incarnation, result, 0, add_to_outbox(session, outbox or '', string.match(result, '%d+ %d+ (%d+)'), scope_writes)}
