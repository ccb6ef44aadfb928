-- Mark sessions as dirty: a process writes them, so their index entries may be behind.
-- Returns nothing.
-- Index: none
--- include: tail read_clock ensure_min_ttl
local dirty  = KEYS[1]           -- zset: dirty marks by their time, in microseconds
local ttl_ms = tonumber(ARGV[1]) -- for which the marks are kept at least
local marks  = tail(ARGV, 2)     -- '<id> <writer>', with '?' behind it when the session may come to be listed elsewhere

local _, now_us = read_clock()
for _, mark in ipairs(marks) do
  redis.call('ZADD', dirty, string.format('%.0f', now_us), mark)
end
ensure_min_ttl(dirty, ttl_ms)
