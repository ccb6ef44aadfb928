-- Register a category that is about to hold documents. The index is a hint: it is written before the hash, in a slot of its
-- own, and has no TTL, as documents have none.
-- Returns nothing.
-- Errors: BOUND_EXCEEDED
-- Index: none
--- include: read_clock
local ids      = KEYS[1] -- zset: categories by the time of their last registration, in ms
local category       = ARGV[1]
local max_categories = tonumber(ARGV[2])

local count = redis.call('ZCARD', ids)
if count >= max_categories and not redis.call('ZSCORE', ids, category) then
  return redis.error_reply(string.format('BOUND_EXCEEDED categories %d %d', count + 1, max_categories))
end
redis.call('ZADD', ids, string.format('%d', (read_clock())), category)
