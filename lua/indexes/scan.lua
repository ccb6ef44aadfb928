-- List entries of an index from a time down: `limit`, and all that have the time of the last of them.
-- Returns {now in microseconds, time of the last ('' when there are no more entries), ID, time, …}.
-- Index: none
--- include: tail read_clock
local zsets = tail(KEYS, 1)     -- IDs by time, in microseconds
local upper = ARGV[1]           -- the latest time, or '+inf'
local limit = tonumber(ARGV[2])

local floor, times
repeat
  times = {}
  for _, zset in ipairs(zsets) do
    local found = redis.call('ZREVRANGEBYSCORE', zset, upper, '-inf', 'WITHSCORES', 'LIMIT', 0, limit)
    for at = 2, #found, 2 do
      times[#times + 1] = found[at] + 0
    end
  end
  table.sort(times)
  floor = times[#times - limit + 1]
  limit = limit * 2
until not floor or floor < (tonumber(upper) or math.huge) or limit > 100000 -- of many at one time, all
local lowest = floor and string.format('%.0f', floor) or '-inf'
local _, now_us = read_clock()
local page = {string.format('%.0f', now_us), floor and lowest or ''}
for _, zset in ipairs(zsets) do
  local found = redis.call('ZREVRANGEBYSCORE', zset, upper, lowest, 'WITHSCORES', 'LIMIT', 0, 100000)
  for at = 1, #found do
    page[#page + 1] = found[at]
  end
end
return page
