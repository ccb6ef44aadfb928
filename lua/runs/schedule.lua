-- Write work into its agent's queue, and when it must be checked. Work that is available now is offered to a waiting worker.
-- The queue is a hint: the work's own session decides what a claim gets. A reservation precedes the work, and its removal follows
-- the end.
-- Returns nothing.
-- Index: none
--- include: update_queue
local queue          = KEYS[1] -- zset: work by the time at which it is available, in ms with microseconds
local check_at       = KEYS[2] -- zset: work by the time at which it must be checked, in ms
local workers        = KEYS[3] -- string: workers that wait
local ready          = KEYS[4] -- zset, as in runs/dequeue
local running        = KEYS[5] -- zset, as in runs/dequeue
local work           = ARGV[1] -- '[@<priority>/<fairness key> ]<id> <parent> … <root>'
local when           = ARGV[2] -- 'keep', 'now', 'after', 'confirm', 'reserve' or 'remove', as in schedule_run
local delay_ms       = tonumber(ARGV[3])
local check          = ARGV[4] -- 'keep', 'after' or 'remove'
local check_ms       = tonumber(ARGV[5])
local reserved_until = ARGV[6] -- only if the work is in the queue with this time, at which it was handed out; '' in any case
local running_ms     = tonumber(ARGV[7]) -- how long it counts as running from now, 0 for not at all

update_queue(
  {queue = queue, check_at = check_at, workers = workers, ready = ready, running = running}, work, when, delay_ms, check, check_ms,
  reserved_until, running_ms
)
