-- Register a category that is about to hold documents. The index is a hint: it is written before the hash, in a slot of its
-- own, and has no TTL, as documents have none.
-- Returns nothing.
-- Index: none
--- include: read_clock
local ids      = KEYS[1] -- zset: categories by the time of their last registration, in ms
local category = ARGV[1]

redis.call('ZADD', ids, string.format('%d', (read_clock())), category)
