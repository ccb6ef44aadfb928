-- Takes categories that hold no document out of the index, but for those that were noted lately: whoever noted one may
-- still be about to write.
-- Returns nothing.
--- include: clock rest
local ids  = KEYS[1]           -- zset: categories by when they were noted last, in ms
local age  = tonumber(ARGV[1]) -- ms that a hint is left alone
local gone = rest(ARGV, 2)     -- the categories

local before = clock() - age
for _, category in ipairs(gone) do
  local noted = redis.call('ZSCORE', ids, category)
  if noted and tonumber(noted) < before then
    redis.call('ZREM', ids, category)
  end
end
