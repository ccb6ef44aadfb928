-- Check a run whose worker may have died or whose time may be over. A run whose time is over, or whose attempts are used up,
-- ends here; a run that is gone leaves its tree.
-- Returns {incarnation, verdict, ms until the next check}: 'free' (it waits for a worker), 'idle' (no worker may claim it),
-- 'held' (a worker holds it, or it is paused), 'over', or 'cancelled' (over, and its tree has members to finalize).
-- Errors: NEED_ANCESTORS
-- Index: touches
--- include: tail read_clock load_run is_finished_run finish_run
local session       = KEYS[1]       -- hash
local messages      = KEYS[2]       -- list
local ancestor_keys = tail(KEYS, 3) -- session and messages of each ancestor, the parent's first
local id            = ARGV[1]       -- the run
local operation_id  = ARGV[2]       -- for the end of the run, should it end

local now_ms, now_us = read_clock()
local loaded, reply = load_run(session, ancestor_keys, now_ms)
if not loaded then return reply end
local incarnation = loaded.incarnation
if is_finished_run(loaded) then
  return {incarnation or '', finish_run(session, messages, ancestor_keys, id, loaded, operation_id, now_ms, now_us), 0}
end
if loaded.is_cancelled then return {incarnation, 'cancelled', 0} end
if not loaded.is_free or loaded.status == 'paused' then
  local wait_ms = loaded.status == 'active' and loaded.lease.deadline_ms - now_ms or 5000
  return {incarnation, 'held', math.max(math.min(loaded.left_ms, wait_ms), 100)}
end
return {incarnation, loaded.run.max_attempts ~= '-' and 'free' or 'idle', loaded.left_ms}
