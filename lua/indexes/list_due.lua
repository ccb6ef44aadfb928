-- List sessions that must be checked: their lives may be over, or the process that wrote them did not finish the upkeep.
-- Returns IDs, and dirty marks ('<id> <writer>').
-- Index: none
--- include: read_clock
local check_at = KEYS[1]           -- zset: IDs by the time of the next check, in ms
local dirty    = KEYS[2]           -- zset: dirty marks by their time, in microseconds
local grace_ms = tonumber(ARGV[1]) -- for which the writer of a mark may still be working
local limit    = ARGV[2]           -- how many of each at most

local now_ms = read_clock()
local found = redis.call('ZRANGEBYSCORE', check_at, '-inf', string.format('%d', now_ms), 'LIMIT', 0, limit)
local abandoned = string.format('%.0f', (now_ms - grace_ms) * 1000)
for _, mark in ipairs(redis.call('ZRANGEBYSCORE', dirty, '-inf', abandoned, 'LIMIT', 0, limit)) do
  found[#found + 1] = mark
end
return found
