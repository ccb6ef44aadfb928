-- Replace a message of a part, by its seq or its ID, or add it under its ID. The session's updated time and revision stay.
-- Returns {incarnation, its seq}, or 0 when there is no such message and none may be added.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED SESSION_NOT_ACTIVE SESSION_LOCKED LEASE_LOST
--   MESSAGE_TOO_LARGE BOUND_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: begin_part_write check_part_room open_parts push_part_messages commit_part_write format_part
local session       = KEYS[1]           -- hash
local messages      = KEYS[2]           -- list
local parts         = KEYS[3]           -- hash: parts with their messages
local part_names    = KEYS[4]           -- zset: names of the parts
local ancestor_keys = {unpack(KEYS, 5)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]           -- the incarnation the caller knows, or ''
local lease         = ARGV[2]           -- '<fence> <nonce>' of the lease it is made under, or ''
local name          = ARGV[3]           -- of the part
local seq           = tonumber(ARGV[4]) -- of the message, or 0 for the one that has the ID of the entry
local may_add       = ARGV[5] == '1'    -- whether the message is added when there is none
local bounds        = ARGV[6]           -- '<parts> <messages> <bytes>'
local entry         = ARGV[7]           -- '<kind><flags><tokens> <ID> [<facts> ]<payload>'

local write, reply = begin_part_write(session, parts, ancestor_keys, incarnation, lease, name, '')
if not write then return reply end
local part, totals, id = write.part, write.totals, string.match(entry, '^%S+ (%S+)')
local field, old = nil, nil
if part then
  if seq == 0 then seq = (redis.call('HGET', parts, string.format('id.%d %s', part.number, id)) or 0) + 0 end
  field = string.format('message.%d %d', part.number, seq)
  old = seq >= part.first_seq and redis.call('HGET', parts, field) or nil
end
if not old and not may_add then return {write.incarnation, 0} end
if old then
  entry = string.match(entry, '^%S+ ') .. string.match(old, '^%d+ (%S+)', 11) .. string.match(entry, '^%S+ %S+(.*)$')
  totals.messages, totals.bytes = totals.messages - 1, totals.bytes - #old
elseif write.status ~= 'active' then
  return redis.error_reply('SESSION_NOT_ACTIVE ' .. write.status)
elseif not part then
  totals.numbers, totals.parts = totals.numbers + 1, totals.parts + 1
  part = {number = totals.numbers, first_seq = 1, last_seq = 0, bytes = 0, created_ms = write.now_ms}
end
local refusal = check_part_room(write, {entry}, bounds)
if refusal then return refusal end
open_parts(session, parts, part_names, write.has_parts)
if old then
  redis.call('HSET', parts, field, string.sub(old, 1, 8) .. entry)
  part.bytes, part.updated_ms = part.bytes + #entry + 8 - #old, write.now_ms
  totals.messages, totals.bytes = totals.messages + 1, totals.bytes + #entry + 8
else
  push_part_messages(parts, part, totals, {entry}, '', write.now_ms)
  seq = part.last_seq
end
if not write.part then redis.call('ZADD', part_names, 0, name) end
redis.call('HSET', parts, 'part.' .. name, format_part(part))
commit_part_write(session, messages, parts, part_names, write, false)
return {write.incarnation, seq}
