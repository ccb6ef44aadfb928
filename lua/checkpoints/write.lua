-- Store pending writes of a checkpoint, each once. The checkpoint may be stored later.
-- Returns how many were new, or -1 if the thread is not there and the caller has not put it into the index of threads. Then
-- nothing was written.
-- Errors: BOUND_EXCEEDED
-- Index: none
--- include: keep_thread tail write_range
local values     = KEYS[1]           -- hash
local names      = KEYS[2]           -- zset
local place      = ARGV[1]           -- '<namespace>\n<ID>' of the checkpoint
local max_writes = tonumber(ARGV[2]) -- that the checkpoint may have
local ttl_ms     = tonumber(ARGV[3]) -- idle time after which the thread expires, 0 for never
local creates    = ARGV[4] == '1'    -- whether the thread is in the index, so that it may be created
local writes     = tail(ARGV, 5)     -- '<task>\n<number>', '1' to replace a present one or '0', the bytes, …

if not creates and redis.call('EXISTS', values) == 0 then return -1 end
local low, high = write_range(place)
local prefix, new = 'w\n' .. place .. '\n', 0
for at = 1, #writes, 3 do new = new + 1 - redis.call('HEXISTS', values, prefix .. writes[at]) end
local count = redis.call('ZLEXCOUNT', names, low, high)
if new > 0 and count + new > max_writes then
  return redis.error_reply(string.format('BOUND_EXCEEDED checkpoint_writes %d %d', count + new, max_writes))
end
for at = 1, #writes, 3 do
  local field = prefix .. writes[at]
  if writes[at + 1] == '1' or redis.call('HEXISTS', values, field) == 0 then
    redis.call('HSET', values, field, writes[at + 2])
    redis.call('ZADD', names, 0, field)
  end
end
keep_thread(values, names, ttl_ms)
return new
