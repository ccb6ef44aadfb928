-- Keep damaged values aside for a time.
-- Returns nothing.
-- Index: none
--- include: tail
local values  = KEYS[1]       -- hash: damaged values by their places
local keep_ms = ARGV[1]       -- for which they are kept
local named   = tail(ARGV, 2) -- place, value, …

for at = 1, #named, 2 do redis.call('HSET', values, named[at], named[at + 1]) end
redis.call('PEXPIRE', values, keep_ms)
