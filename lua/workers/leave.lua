-- Remove a worker that stopped.
-- Returns nothing.
-- Index: none
local heard_at = KEYS[1] -- zset: worker IDs by the time at which they were heard last, in ms
local records  = KEYS[2] -- hash: worker ID = its record (JSON)
local id       = ARGV[1] -- the worker

redis.call('ZREM', heard_at, id)
redis.call('HDEL', records, id)
