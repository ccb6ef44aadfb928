-- Sessions that it is time to look at: their lives may be over, or whoever changed them did not say how it went.
-- Returns ids.
--- include: clock
local due   = KEYS[1]           -- zset: ids by when to look, in ms
local marks = KEYS[2]           -- zset: ids that were being written, by when, in ms
local grace = tonumber(ARGV[1]) -- ms for which whoever marked one may still be at it
local most  = ARGV[2]           -- how many of each at the most

local now = clock()
local found = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', marks, '-inf', string.format('%d', now - grace), 'LIMIT', 0, most)) do
  found[#found + 1] = id
end
return found
