-- Read what the indexes know of a session.
-- Returns {now in microseconds, record or '', time of the next check or ''}.
-- Index: none
--- include: read_clock
local check_at = KEYS[1] -- zset: IDs by the time of the next check, in ms
local records  = KEYS[2] -- hash: ID = the values it is listed under, a line each
local id       = ARGV[1]

local _, now_us = read_clock()
return {
  string.format('%.0f', now_us), redis.call('HGET', records, id) or '', redis.call('ZSCORE', check_at, id) or '',
}
