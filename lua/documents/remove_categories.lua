-- Remove categories that hold no document from the index, except those that were registered lately: the process that registered
-- one may still be about to write.
-- Returns nothing.
-- Index: none
--- include: tail read_clock
local ids        = KEYS[1]           -- zset: categories by the time of their last registration, in ms
local grace_ms   = tonumber(ARGV[1]) -- for which a registration is left alone
local categories = tail(ARGV, 2)

local before = read_clock() - grace_ms
for _, category in ipairs(categories) do
  local registered = redis.call('ZSCORE', ids, category)
  if registered and tonumber(registered) < before then redis.call('ZREM', ids, category) end
end
