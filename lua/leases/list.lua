-- Lists sessions whose leases are noted as held, what runs out first before the rest. A page may repeat what was renewed
-- meanwhile, and misses nothing.
-- Returns {id, deadline, …}.
--- include: clock
local ids      = KEYS[1]           -- zset of session ids by deadline, in ms
local last     = ARGV[1]           -- the id that was listed last, or ''
local deadline = ARGV[2]           -- and its deadline
local limit    = tonumber(ARGV[3]) -- how many at the most

local start
if last == '' then
  start = redis.call('ZCOUNT', ids, '-inf', clock())
elseif redis.call('ZSCORE', ids, last) == deadline then
  start = redis.call('ZRANK', ids, last) + 1
else
  start = redis.call('ZCOUNT', ids, '-inf', '(' .. deadline)
end
return redis.call('ZRANGE', ids, start, start + limit - 1, 'WITHSCORES')
