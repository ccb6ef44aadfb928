-- List entries that may belong to sessions that expired: those whose last update is longest ago, and some others.
-- Returns {now in microseconds, ID, …}.
-- Index: none
--- include: tail read_clock
local zsets     = tail(KEYS, 1)     -- IDs by last update, in microseconds
local limit     = tonumber(ARGV[1]) -- of each kind and zset
local grace_us  = tonumber(ARGV[2]) -- the age below which an entry may belong to a session that is being created

local _, now_us = read_clock()
local sample = {string.format('%.0f', now_us)}
local function add(zset, first)
  local found = redis.call('ZRANGE', zset, first, first + limit - 1, 'WITHSCORES')
  for entry = 2, #found, 2 do
    if tonumber(found[entry]) < now_us - grace_us then sample[#sample + 1] = found[entry - 1] end
  end
end
for _, zset in ipairs(zsets) do
  local others = redis.call('ZCARD', zset) - limit
  add(zset, 0)
  if others > 0 then add(zset, limit + now_us % others) end
end
return sample
