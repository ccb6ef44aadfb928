-- Set and remove values of a session's state or variables.
-- Returns {incarnation, '<rev> <removed>'}: how many of the removed were there. The same operation again returns its first
-- result.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_LOCKED LEASE_LOST SESSION_NOT_ACTIVE REVISION_CONFLICT
--   BOUND_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: tail begin_write check_values commit_write
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local set_count     = tonumber(ARGV[5]) -- how many of the following fields are set
local bounds        = ARGV[6]       -- '<metadata bytes> <state bytes> <variable bytes> <number of values>'
local fields        = tail(ARGV, 7) -- name, value, … of those set, then the names of those removed

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local refusal, value_bytes = check_values(session, fields, 1, set_count, #fields, bounds)
if refusal then return refusal end
for at = 1, set_count * 2, 2 do
  redis.call('HSET', session, fields[at], fields[at + 1])
end
local removed = 0
for at = set_count * 2 + 1, #fields do
  removed = removed + redis.call('HDEL', session, fields[at])
end
redis.call('HSET', session, 'value_bytes', value_bytes)
return commit_write(session, messages, write, operation_id, string.format('%d', removed))
