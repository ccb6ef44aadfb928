-- Raise the last update of a session to now where it is listed as active.
-- Returns the number of indexes that list it as active.
-- Index: none
--- include: tail read_clock
local zsets = tail(KEYS, 1) -- IDs by last update, in microseconds
local id    = ARGV[1]

local _, now_us = read_clock()
local now = string.format('%.0f', now_us)
local raised = 0
for _, zset in ipairs(zsets) do
  raised = raised + redis.call('ZADD', zset, 'XX', 'GT', 'CH', now, id)
end
return raised
