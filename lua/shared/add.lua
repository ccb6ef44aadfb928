-- Add to a whole number of a shared scope, exactly once for an operation ID. Without a value it adds to 0.
-- Returns '<kind> <sum>'; sums are exact below 2^53.
-- Errors: BOUND_EXCEEDED INVALID_INPUT NOT_AN_INTEGER
-- Index: none
--- include: begin_shared_write commit_shared_write
local values       = KEYS[1]           -- hash: the values by name
local log          = KEYS[2]           -- hash: totals, and results by operation
local operation_id = ARGV[1]           -- the batch ID
local ttl_ms       = ARGV[2]           -- how long the scope lives after a write, 0 for ever, or '' as before
local max_bytes    = tonumber(ARGV[3]) -- bytes of names and values
local max_values   = tonumber(ARGV[4])
local value_name   = ARGV[5]
local amount       = tonumber(ARGV[6]) -- a whole number, may be negative
local kind         = ARGV[7]           -- with which the result begins: 'add:<hash of the name>'

local write, before, refusal = begin_shared_write(values, log, operation_id, ttl_ms)
if not write then return refusal or before end
local found, largest = redis.call('HGET', values, value_name), 9007199254740991
local value = found or '0'
if not string.match(value, '^%-?%d+$') or math.abs(value) > largest or math.abs(value + amount) > largest then
  return redis.error_reply('NOT_AN_INTEGER ' .. value_name)
end
local sum = string.format('%d', value + amount)
local bytes, count = write.bytes + #sum - (found and #found or -#value_name), write.count + (found and 0 or 1)
if not found and (bytes > max_bytes or count > max_values) then
  local is_many = count > max_values
  return redis.error_reply(string.format('BOUND_EXCEEDED shared_%s %d %d', is_many and 'values' or 'bytes',
    is_many and count or bytes, is_many and max_values or max_bytes))
end
redis.call('HSET', values, value_name, sum)
write.bytes, write.count = bytes, count
commit_shared_write(values, log, write, operation_id, kind .. ' ' .. sum)
return kind .. ' ' .. sum
