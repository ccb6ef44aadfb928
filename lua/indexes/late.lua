-- Sessions that it is time to look at: their lives may be over, or whoever changed them did not say how it went.
-- Returns ids, and marks (id and writer).
--- include: clock
local due   = KEYS[1]           -- zset: ids by when to look, in ms
local marks = KEYS[2]           -- zset: id and writer by when, in microseconds
local grace = tonumber(ARGV[1]) -- ms for which whoever marked one may still be at it
local most  = ARGV[2]           -- how many of each at the most

local now = clock()
local dead = string.format('%.0f', (now - grace) * 1000)
local found = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', marks, '-inf', dead, 'LIMIT', 0, most)) do
  found[#found + 1] = member
end
return found
