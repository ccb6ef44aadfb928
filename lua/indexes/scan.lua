-- List entries of indexes from a time on, down or up: all with this time, `limit` behind it, and all with the time of the last.
-- Returns {now in microseconds, time of the last ('' when there are no more entries), ID, time, …}, in no order.
-- Index: none
--- include: tail read_clock
local zsets = tail(KEYS, 1)     -- IDs by time, in microseconds
local first = ARGV[1]           -- the first time, '+inf' or '-inf'
local limit = tonumber(ARGV[2])
local sign  = tonumber(ARGV[3]) -- 1 to go down, -1 to go up

local pages, times, floor, unread -- times and floor as if it went down
local latest = tonumber(first) and sign * first or math.huge
local chunk = math.floor(limit / #zsets) * 2 + 8
repeat
  pages, times, unread = {}, {}, nil
  for at, zset in ipairs(zsets) do
    local found = sign < 0 and redis.call('ZRANGEBYSCORE', zset, first, '+inf', 'WITHSCORES', 'LIMIT', 0, chunk)
      or redis.call('ZREVRANGEBYSCORE', zset, first, '-inf', 'WITHSCORES', 'LIMIT', 0, chunk)
    for entry = 2, #found, 2 do
      local time = sign * found[entry]
      if time < latest then times[#times + 1] = time end
    end
    if #found == 2 * chunk then unread = math.max(unread or -math.huge, sign * found[#found]) end
    pages[at] = found
  end
  table.sort(times)
  floor = times[#times - limit + 1]
  chunk = chunk * 4
until not unread or (floor and floor > unread)
local is_last = not unread and (not floor or floor == times[1])
local _, now_us = read_clock()
local page = {string.format('%.0f', now_us), is_last and '' or string.format('%.0f', sign * floor)}
for _, found in ipairs(pages) do
  for entry = 2, #found, 2 do
    if not floor or sign * found[entry] >= floor then
      page[#page + 1], page[#page + 2] = found[entry - 1], found[entry]
    end
  end
end
return page
