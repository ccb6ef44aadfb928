-- Add to a whole number of a session's state, exactly once for an operation ID.
-- Returns {incarnation, '<rev> <sum>'}; sums are exact below 2^53.
-- Errors: NEED_ANCESTORS SESSION_NOT_FOUND SESSION_REPLACED SESSION_LOCKED LEASE_LOST SESSION_NOT_ACTIVE REVISION_CONFLICT
--   NOT_AN_INTEGER BOUND_EXCEEDED INVALID_INPUT
-- Index: touches
--- include: begin_write find_recent check_values commit_write
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = {unpack(KEYS, 3)} -- session and messages of each ancestor, the parent's first
local incarnation   = ARGV[1]       -- the incarnation the caller knows, or ''
local operation_id  = ARGV[2]       -- the batch ID
local lease         = ARGV[3]       -- '<fence> <nonce>' of the lease it is made under, or ''
local expected_rev  = ARGV[4]       -- the revision that must be current, or ''
local field         = ARGV[5]       -- 'state.<name>'
local amount        = tonumber(ARGV[6]) -- a whole number, may be negative
local bounds        = ARGV[7]       -- '<metadata bytes> <state bytes> <variable bytes> <number of values>'
local kind          = ARGV[8]       -- with which the result begins: 'add:<hash of the name>'

local write, reply = begin_write(session, ancestor_keys, incarnation, lease, expected_rev, operation_id)
if not write then return reply end
local appended = find_recent(session, messages, write.recent, operation_id)
if appended then return {write.incarnation, appended, 1} end -- the ID is of an append
local value, largest = redis.call('HGET', session, field) or '0', 9007199254740991
if not string.match(value, '^%-?%d+$') or math.abs(value) > largest or math.abs(value + amount) > largest then
  return redis.error_reply('NOT_AN_INTEGER ' .. field)
end
local sum = string.format('%d', value + amount)
local refusal, value_bytes = check_values(session, {field, sum}, 1, 1, 2, bounds)
if refusal then return refusal end
redis.call('HSET', session, field, sum, 'value_bytes', value_bytes)
return commit_write(session, messages, write, operation_id, kind .. ' ' .. sum)
