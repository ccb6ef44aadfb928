-- Set and remove values of a session's state or variables.
-- Returns {incarnation, '<rev> <removed>'}: how many of the removed were there. The same operation again returns its first
-- result.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_LOCKED LEASE_LOST SESSION_NOT_ACTIVE REVISION_CONFLICT
--   LIMIT_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: tail begin_write commit_write
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local set_count     = tonumber(ARGV[5]) -- how many of the following fields are set
local max_fields    = tonumber(ARGV[6])
local fields        = tail(ARGV, 7) -- name, value, … of those set, then the names of those removed

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local total = redis.call('HLEN', session)
for at = 1, set_count * 2, 2 do
  total = total + 1 - redis.call('HEXISTS', session, fields[at])
end
if set_count > 0 and total > max_fields then
  return redis.error_reply(string.format('LIMIT_EXCEEDED fields %d %d error', total, max_fields))
end
for at = 1, set_count * 2, 2 do
  redis.call('HSET', session, fields[at], fields[at + 1])
end
local removed = 0
for at = set_count * 2 + 1, #fields do
  removed = removed + redis.call('HDEL', session, fields[at])
end
return commit_write(session, messages, write, operation_id, string.format('%d', removed))
