-- Asks for a run of an agent: the one that has waited longest, for the asker to claim within a second; or a place in line, to be
-- told of the next. And for runs that somebody should look after, for the asker to do so.
-- Returns {'<time> <run>' (until when it is offered) or '', ms until there may be something to do or -1, runs to look after}.
--- include: clock
local queue   = KEYS[1]           -- zset: runs by when they may be had, in ms
local due     = KEYS[2]           -- zset: runs by when to look after them, in ms
local workers = KEYS[3]           -- string: workers that wait, records '<nonce> <until> <counted> <channel>\n'
local nonce   = ARGV[1]           -- who asks, or '' to look after runs alone
local wait    = tonumber(ARGV[2]) -- ms to stay in line, 0 not to, -1 to leave it and no more
local channel = ARGV[3]           -- where he hears of it
local counted = ARGV[4]           -- '1': a channel without a receiver says that he is gone
local most    = tonumber(ARGV[5]) -- how many runs to look after

local now = clock()
local late = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)
for _, run in ipairs(late) do redis.call('ZADD', due, string.format('%d', now + 2000), run) end
if nonce == '' then return {'', -1, late} end
local line = redis.call('GET', workers) or ''
line = string.gsub(line, '(%S+) (%d+) [^\n]*\n', function(other, last)
  if other == nonce or last - now <= 0 then return '' end
end)
local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
local time = redis.call('TIME')
local instant = time[1] * 1000 + time[2] / 1000
local run, left = '', first[2] and first[2] - instant or -1
if wait >= 0 and first[2] and left <= 0 then
  local till = string.format('%.3f', instant + 1000)
  redis.call('ZADD', queue, till, first[1])
  run = till .. ' ' .. first[1]
elseif wait > 0 then
  line = line .. string.format('%s %d %s %s\n', nonce, now + wait, counted, channel)
end
if line == '' then
  redis.call('DEL', workers)
else
  redis.call('SET', workers, line, 'PX', 60000)
end
local next_due = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
if next_due and (left < 0 or next_due - now < left) then left = math.max(next_due - now, 0) end
return {run, math.ceil(math.max(left, -1)), late}
