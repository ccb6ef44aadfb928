-- Append messages to a part of a session: all or none. The first append makes the part. The session's messages and revision
-- stay, and its updated time moves. A message whose ID the part has is left out.
-- Returns {incarnation, '<first> <last> <messages of the part> <messages left out>', 1 for a repeated batch}; 0 0 when all are
-- left out.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST
--   MESSAGE_TOO_LARGE BOUND_EXCEEDED OUTCOME_UNKNOWN INVALID_INPUT
-- Index: touches
--- include: tail begin_part_write find_repeated_batch select_new check_part_room open_parts push_part_messages record_part_batch
--- include: format_part commit_part_write
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local parts         = KEYS[3]           -- hash: parts with their messages
local part_names    = KEYS[4]           -- zset: names of the parts
local ancestor_keys = {unpack(KEYS, 5)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]           -- the batch ID
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local elapsed_ms    = ARGV[4]           -- since the first attempt, or '' for the first attempt
local name          = ARGV[5]           -- of the part
local has_ids       = ARGV[6] == '1'    -- whether messages have IDs of their own
local bounds        = ARGV[7]           -- '<parts> <messages> <bytes>'
local entries       = tail(ARGV, 8)     -- messages: '<kind><flags><tokens> <ID or batch ID> [<facts> ]<payload>'

local write, reply = begin_part_write(session, parts, ancestor_keys, incarnation, lease, name, operation_id)
if not write then return reply end
local part, totals = write.part, write.totals
if elapsed_ms ~= '' and part then
  local before, refusal = find_repeated_batch(parts, part, operation_id, elapsed_ms, write.now_ms)
  if before or refusal then return refusal or {write.incarnation, before, 1} end
end
if write.status ~= 'active' then return redis.error_reply('SESSION_NOT_ACTIVE ' .. write.status) end
if not part then
  totals.numbers, totals.parts = totals.numbers + 1, totals.parts + 1
  part = {number = totals.numbers, first_seq = 1, last_seq = 0, bytes = 0, created_ms = write.now_ms}
end
local left_out = 0
if has_ids then entries, left_out = select_new(write.has_parts and parts, part.number, entries, operation_id) end
local refusal = check_part_room(write, entries, bounds)
if refusal then return refusal end
open_parts(session, parts, part_names, write.has_parts)
local first = part.last_seq + 1
push_part_messages(parts, part, totals, entries, operation_id, write.now_ms)
local result = string.format('%d %d %d %d', #entries > 0 and first or 0, #entries > 0 and part.last_seq or 0,
  part.last_seq - part.first_seq + 1, left_out)
record_part_batch(parts, part.number, write.batches, operation_id, result)
if not write.part then redis.call('ZADD', part_names, 0, name) end
redis.call('HSET', parts, 'part.' .. name, format_part(part))
commit_part_write(session, messages, parts, part_names, write, true)
return {write.incarnation, result, 0}
