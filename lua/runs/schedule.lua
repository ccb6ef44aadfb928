-- Write a run into its agent's queue, and when it must be checked. A run that is available now is offered to a waiting worker.
-- The queue is a hint: the run's own session decides what a claim gets. A reservation precedes the run, and its removal follows
-- the run's end.
-- Returns nothing.
-- Index: none
--- include: schedule_run
local queue          = KEYS[1] -- zset: runs by the time at which they are available, in ms with microseconds
local check_at       = KEYS[2] -- zset: runs by the time at which they must be checked, in ms
local workers        = KEYS[3] -- string: workers that wait
local run            = ARGV[1] -- '<id> <parent> … <root>'
local when           = ARGV[2] -- 'keep', 'now', 'after', 'confirm' or 'remove', as in schedule_run
local delay_ms       = tonumber(ARGV[3])
local check          = ARGV[4] -- 'keep', 'after' or 'remove'
local check_ms       = tonumber(ARGV[5])
local reserved_until = ARGV[6] -- only if the run is in the queue with this time, at which it was handed out; '' in any case

if reserved_until ~= '' and tonumber(redis.call('ZSCORE', queue, run) or 0) ~= tonumber(reserved_until) then return end
schedule_run(queue, check_at, workers, run, when, delay_ms, check, check_ms)
