-- Set and remove values of a shared scope, exactly once for an operation ID. Bounds are checked only for totals that grow.
-- Returns 'write <removed>': the number of removed values that existed.
-- Errors: BOUND_EXCEEDED INVALID_INPUT
-- Index: none
--- include: tail begin_shared_write commit_shared_write
local values       = KEYS[1]           -- hash: the values by name
local log          = KEYS[2]           -- hash: totals, and results by operation
local operation_id = ARGV[1]
local ttl_ms       = ARGV[2]           -- how long the scope lives after a write, 0 for ever, or '' as before
local max_bytes    = tonumber(ARGV[3]) -- bytes of names and values
local max_values   = tonumber(ARGV[4])
local clear        = ARGV[5] == '1'    -- whether all values are removed before
local set_count    = tonumber(ARGV[6]) -- how many of the following are set
local fields       = tail(ARGV, 7)     -- name, value, … of those set, then the names of those removed

local write, before, refusal = begin_shared_write(values, log, operation_id, ttl_ms)
if not write then return refusal or before end
local bytes, count, removed = write.bytes, write.count, 0
for at = set_count * 2 + 1, #fields do
  local size = redis.call('HSTRLEN', values, fields[at])
  if size > 0 then bytes, count, removed = bytes - size - #fields[at], count - 1, removed + 1 end
end
for at = 1, set_count * 2, 2 do
  local name, size = fields[at], redis.call('HSTRLEN', values, fields[at])
  if size > 0 then bytes = bytes - size else bytes, count = bytes + #name, count + 1 end
  bytes = bytes + #fields[at + 1]
end
if set_count > 0 and bytes > write.bytes and bytes > max_bytes then
  return redis.error_reply(string.format('BOUND_EXCEEDED shared_bytes %d %d', bytes, max_bytes))
end
if set_count > 0 and count > write.count and count > max_values then
  return redis.error_reply(string.format('BOUND_EXCEEDED shared_values %d %d', count, max_values))
end
if clear then
  removed, bytes, count = redis.call('HLEN', values), 0, 0
  redis.call('DEL', values)
end
for at = 1, set_count * 2, 2 do redis.call('HSET', values, fields[at], fields[at + 1]) end
for at = set_count * 2 + 1, #fields do redis.call('HDEL', values, fields[at]) end
write.bytes, write.count = math.max(bytes, 0), math.max(count, 0)
commit_shared_write(values, log, write, operation_id, 'write ' .. removed)
return 'write ' .. removed
