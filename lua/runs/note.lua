-- Keeps an agent's queue: which runs are to be had and when, and when somebody is to look after which. Both are hints: a run
-- itself says what it is (runs/claim). A hint is there before its run, and goes after it.
-- Returns nothing.
--- include: tell offer announce
local queue   = KEYS[1] -- zset: runs by when they may be had, in ms: '<id> <ancestor> …'
local due     = KEYS[2] -- zset: runs by when to look after them, in ms
local workers = KEYS[3] -- string: workers that wait, records '<nonce> <until> <counted> <channel>\n'
local run     = ARGV[1] -- '<id> <ancestor> …'
local delay   = ARGV[2] -- ms until it may be had, '' as it is, '+' now unless it waits already, '*<ms>' now, as hinted so long, '-' not any more
local look    = ARGV[3] -- ms until somebody is to look after it, '' as it is, '-' not any more
local taken   = ARGV[4] -- only if the run is in the queue with this time, at which it was handed out; '' in any case

if taken ~= '' and tonumber(redis.call('ZSCORE', queue, run) or 0) ~= tonumber(taken) then return end
announce(queue, due, workers, run, delay, look)
