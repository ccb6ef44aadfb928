-- Notes that a category is about to hold documents. The index is a hint: it is written before the hash, in a slot of its
-- own, and has no TTL, as documents have none.
-- Returns nothing.
--- include: clock
local ids      = KEYS[1] -- zset: categories by when they were noted last, in ms
local category = ARGV[1]

redis.call('ZADD', ids, clock(), category)
