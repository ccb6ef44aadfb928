-- Ask for a run of an agent: the one that has waited longest, reserved for the asker for a second; or a place among the waiting
-- workers. And for runs that must be checked, which the asker then checks.
-- Returns {'<time> <run>' (reserved until then) or '', ms until there may be something to do or -1, runs to check}.
-- Index: none
--- include: read_clock without_waiter format_waiter
local queue            = KEYS[1]           -- zset: runs by the time at which they are available, in ms
local check_at         = KEYS[2]           -- zset: runs by the time at which they must be checked, in ms
local workers          = KEYS[3]           -- string: workers that wait
local purpose          = ARGV[1]           -- 'claim', 'leave' (only leave the place) or 'check' (only get runs to check)
local nonce            = ARGV[2]           -- of the worker, or ''
local wait_ms          = tonumber(ARGV[3]) -- that the worker waits, or 0
local channel          = ARGV[4]           -- on which it hears
local counts_receivers = ARGV[5]           -- '1' if PUBLISH returning 0 proves that the worker is gone
local max_checks       = tonumber(ARGV[6]) -- how many runs to check

local now_ms, now_us = read_clock()
local due = redis.call('ZRANGEBYSCORE', check_at, '-inf', string.format('%d', now_ms), 'LIMIT', 0, max_checks)
for _, run in ipairs(due) do redis.call('ZADD', check_at, string.format('%d', now_ms + 2000), run) end
if purpose == 'check' then return {'', -1, due} end
local waiters = without_waiter(redis.call('GET', workers) or '', nonce, now_ms)
local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
local instant = now_us / 1000
local reserved, left_ms = '', first[2] and first[2] - instant or -1
if purpose == 'claim' and first[2] and left_ms <= 0 then
  local reserved_until = string.format('%.3f', instant + 1000)
  redis.call('ZADD', queue, reserved_until, first[1])
  reserved = reserved_until .. ' ' .. first[1]
elseif purpose == 'claim' and wait_ms > 0 then
  waiters = waiters .. format_waiter({
    nonce = nonce, until_ms = now_ms + wait_ms, counts_receivers = counts_receivers, channel = channel, detail = '-',
  })
end
if waiters == '' then
  redis.call('DEL', workers)
else
  redis.call('SET', workers, waiters, 'PX', 60000)
end
local next_check = redis.call('ZRANGE', check_at, 0, 0, 'WITHSCORES')[2]
if next_check and (left_ms < 0 or next_check - now_ms < left_ms) then left_ms = math.max(next_check - now_ms, 0) end
return {reserved, math.ceil(math.max(left_ms, -1)), due}
