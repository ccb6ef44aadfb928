-- List sessions whose leases are held, those that run out first before the others. A page may repeat a lease that was renewed
-- since, and misses none.
-- Returns {id, deadline in ms, …}.
-- Index: none
--- include: read_clock
local ids         = KEYS[1]           -- zset of session IDs by deadline, in ms
local last        = ARGV[1]           -- the ID that was listed last, or ''
local deadline_ms = ARGV[2]           -- and its deadline
local limit       = tonumber(ARGV[3]) -- how many at most

local start
if last == '' then
  start = redis.call('ZCOUNT', ids, '-inf', string.format('%d', (read_clock())))
elseif redis.call('ZSCORE', ids, last) == deadline_ms then
  start = redis.call('ZRANK', ids, last) + 1
else
  start = redis.call('ZCOUNT', ids, '-inf', '(' .. deadline_ms)
end
return redis.call('ZRANGE', ids, start, start + limit - 1, 'WITHSCORES')
