-- Reserve the next work of an agent for a second. If there is none, add the worker to the waiting workers. Also hand out the work
-- whose check is due. Work that is due enters the line `ready`: by priority, then fairly between the fairness keys, each of which
-- gets its turn, however much waits under another.
-- Returns {'<time> <work>' (reserved until then) or '', ms until there may be something to do or -1, work to check, inboxes to
-- check}.
-- Index: none
--- include: read_clock without_waiter format_waiter rank_works
local queue            = KEYS[1]           -- zset: work by the time at which it is available, in ms
local check_at         = KEYS[2]           -- zset: work by the time at which it must be checked, in ms
local workers          = KEYS[3]           -- string: workers that wait
local ready            = KEYS[4]           -- zset: work that is due, by its rank
local ranks            = KEYS[5]           -- zset: '<priority>/<fairness key>' by the last rank that was given, '<priority>'
                                           -- by the rank that was served last, '#' by minus how many were given
local running          = KEYS[6]           -- zset: with a bound, work that was handed out, by the end of its lease in ms
local bound            = KEYS[7]           -- string: how much may run at once, if that is bounded
local inbox_check_at   = KEYS[8]           -- zset: check_at of the queue of inboxes that no agent answers; check_at of this queue
                                           -- again where the other one has a slot of its own
local purpose          = ARGV[1]           -- 'claim', 'leave' (only leave the place: it checks nothing) or 'check' (only get work to check)
local nonce            = ARGV[2]           -- of the worker, or ''
local wait_ms          = tonumber(ARGV[3]) -- that the worker waits, or 0
local channel          = ARGV[4]           -- on which it hears
local counts_receivers = ARGV[5]           -- '1' if PUBLISH returning 0 proves that the worker is gone
local max_checks       = tonumber(ARGV[6]) -- how much work to check

local now_ms, now_us = read_clock()
local instant, expires = now_us / 1000, string.format('%d', now_ms + 2592000000)
if purpose == 'leave' then max_checks = 0 end
local function take_due(checks)
  local due = redis.call('ZRANGEBYSCORE', checks, '-inf', string.format('%d', now_ms), 'LIMIT', 0, max_checks)
  for _, work in ipairs(due) do redis.call('ZADD', checks, string.format('%d', now_ms + 2000), work) end
  return due
end
local due, inbox_due = take_due(check_at), {}
if purpose == 'check' then return {'', -1, due, inbox_due} end
if inbox_check_at ~= check_at then inbox_due = take_due(inbox_check_at) end
local waiters = without_waiter(redis.call('GET', workers) or '', nonce, now_ms)
local reserved, left_ms, max_running = '', -1, redis.call('GET', bound)
if purpose == 'claim' then
  local arrived = redis.call('ZRANGEBYSCORE', queue, '-inf', string.format('%.3f', instant), 'LIMIT', 0, 250)
  if #arrived > 0 then
    local works = {}
    for at, rank in ipairs(redis.call('ZMSCORE', ready, unpack(arrived))) do
      if not rank then works[#works + 1] = arrived[at] end
    end
    if #works > 0 then redis.call('ZADD', ready, unpack(rank_works(ranks, works))) end
    redis.call('ZREM', queue, unpack(arrived))
    redis.call('PEXPIREAT', ready, expires)
    redis.call('PEXPIREAT', ranks, expires)
  end
  local is_full = false
  if max_running then
    redis.call('ZREMRANGEBYSCORE', running, '-inf', string.format('%d', now_ms))
    is_full = redis.call('ZCARD', running) >= max_running + 0
    local soonest = is_full and redis.call('ZRANGE', running, 0, 0, 'WITHSCORES')[2]
    if soonest then left_ms = math.max(soonest - now_ms, 50) end
  end
  local work, rank = unpack(is_full and {} or redis.call('ZRANGE', ready, 0, 0, 'WITHSCORES'))
  if work then
    --- include: serve_rank
    redis.call('ZREM', ready, work)
    serve_rank(ranks, rank + 0)
    local reserved_until = string.format('%.3f', instant + 1000)
    redis.call('ZADD', queue, reserved_until, work)
    redis.call('PEXPIREAT', queue, expires)
    reserved = reserved_until .. ' ' .. work
    if max_running then
      redis.call('ZADD', running, string.format('%d', now_ms + 3000), work)
      redis.call('PEXPIREAT', running, expires)
    end
  else
    if not is_full then redis.call('DEL', ranks) end
    if wait_ms > 0 then
      waiters = waiters .. format_waiter({
        nonce = nonce, until_ms = now_ms + wait_ms, counts_receivers = counts_receivers, channel = channel,
        detail = max_running and 'ask' or '-',
      })
    end
    local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
    local first_ms = first and math.max(first - instant, 0)
    if first_ms and not is_full and (left_ms < 0 or first_ms < left_ms) then left_ms = first_ms end
  end
end
if waiters == '' then
  redis.call('DEL', workers)
else
  redis.call('SET', workers, waiters, 'PX', 60000)
end
local next_check = redis.call('ZRANGE', check_at, 0, 0, 'WITHSCORES')[2]
if next_check and (left_ms < 0 or next_check - now_ms < left_ms) then left_ms = math.max(next_check - now_ms, 0) end
return {reserved, math.ceil(math.max(left_ms, -1)), due, inbox_due}
