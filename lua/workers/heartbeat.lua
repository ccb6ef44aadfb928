-- Write a worker's record, and the time at which the worker was heard. Up to 100 workers that were silent for an hour leave.
-- A new worker is not registered when there are too many.
-- Returns the server's time in ms.
-- Index: none
--- include: read_clock
local heard_at = KEYS[1] -- zset: worker IDs by the time at which they were heard last, in ms
local records  = KEYS[2] -- hash: worker ID = its record (JSON)
local id       = ARGV[1] -- the worker
local record   = ARGV[2] -- its record
local max_workers = tonumber(ARGV[3]) -- that are registered at most

local now_ms = read_clock()
local silent = redis.call('ZRANGEBYSCORE', heard_at, '-inf', string.format('(%d', now_ms - 3600000), 'LIMIT', 0, 100)
if silent[1] then
  redis.call('ZREM', heard_at, unpack(silent))
  redis.call('HDEL', records, unpack(silent))
end
local now = string.format('%d', now_ms)
if redis.call('ZCARD', heard_at) >= max_workers and not redis.call('ZSCORE', heard_at, id) then return now end
redis.call('ZADD', heard_at, now, id)
redis.call('HSET', records, id, record)
redis.call('PEXPIRE', heard_at, 3600000)
redis.call('PEXPIRE', records, 3600000)
return now
