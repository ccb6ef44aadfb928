-- Clear or delete a part: at once for readers. Each call removes 1,000 of the cleared or deleted messages. A
-- deletion spares a part that was made since its first attempt.
-- Returns {incarnation, messages that were taken out, 1 if the part was there, 1 if messages are left to be removed}.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST
--   INVALID_INPUT
-- Index: touches
--- include: begin_part_write remove_cleared_messages record_part_batch format_part commit_part_write
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local parts         = KEYS[3]           -- hash: parts with their messages
local part_names    = KEYS[4]           -- zset: names of the parts
local ancestor_keys = {unpack(KEYS, 5)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]           -- '<fence> <nonce>' of the lease it is made under, or ''
local elapsed_ms    = ARGV[4]           -- since the first attempt, or '' for the first attempt
local name          = ARGV[5]           -- of the part
local mode          = ARGV[6]           -- clear, delete, or rest: only remove what is left

local write, reply = begin_part_write(session, parts, ancestor_keys, incarnation, lease, name, operation_id)
if not write then
  if reply[3] then return {reply[1], reply[2] + 0, 1, 1} end
  return reply
end
local part, totals = write.part, write.totals
local is_newer = part and elapsed_ms ~= '' and mode == 'delete' and part.created_ms > write.now_ms - elapsed_ms
if not write.has_parts then return {write.incarnation, 0, 0, 0} end
local removed = 0
if part and mode ~= 'rest' and not is_newer then
  removed = part.last_seq - part.first_seq + 1
  if removed > 0 then
    local gone = redis.call('HGET', parts, 'gone')
    gone = (gone and gone .. ' ' or '') .. string.format('%d:%d-%d', part.number, part.first_seq, part.last_seq)
    redis.call('HSET', parts, 'gone', gone)
  end
  totals.messages, totals.bytes = totals.messages - removed, totals.bytes - part.bytes
  if mode == 'delete' then
    totals.parts = totals.parts - 1
    redis.call('HDEL', parts, 'part.' .. name, 'batches.' .. part.number)
    redis.call('ZREM', part_names, name)
  else
    redis.call('HDEL', parts, 'batches.' .. part.number)
    totals.numbers = totals.numbers + 1 -- messages of now on must not be taken for those that are still to be removed
    part.number, part.first_seq, part.bytes, part.updated_ms = totals.numbers, part.last_seq + 1, 0, write.now_ms
    redis.call('HSET', parts, 'part.' .. name, format_part(part))
    record_part_batch(parts, part.number, write.batches, operation_id, string.format('%d', removed))
  end
end
local is_left = remove_cleared_messages(parts, 1000)
commit_part_write(session, messages, parts, part_names, write, false)
return {write.incarnation, removed, part and not is_newer and 1 or 0, is_left and 1 or 0}
