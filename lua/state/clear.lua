-- Remove all variables or all state of a session.
-- Returns {incarnation, '<rev> <removed>'}: how many there were. The same operation again returns its first result.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_LOCKED LEASE_LOST SESSION_NOT_ACTIVE REVISION_CONFLICT
--   INVALID_INPUT
-- Index: touches
--- include: begin_write parse_value_bytes format_value_bytes commit_write
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local prefix        = ARGV[5]       -- 'state.' or 'var.'

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local removed, value_bytes = 0, redis.call('HGET', session, 'value_bytes')
for _, field in ipairs(redis.call('HKEYS', session)) do
  if string.sub(field, 1, #prefix) == prefix then
    removed = removed + redis.call('HDEL', session, field)
  end
end
if value_bytes then
  local sizes, count = parse_value_bytes(value_bytes)
  sizes[string.sub(prefix, 1, -2)] = 0
  redis.call('HSET', session, 'value_bytes', format_value_bytes(sizes, math.max(count - removed, 0)))
end
return commit_write(session, messages, write, operation_id, string.format('%d', removed))
