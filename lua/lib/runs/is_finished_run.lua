-- Return whether a run has ended, is gone, is out of time, or has used up its attempts. A cancelled run that is still open is
-- finished by its tree. A session with turns ends by none of its turns.
local function is_finished_run(loaded, now_ms)
  if not loaded.is_open then return true end
  local run = loaded.run
  if loaded.is_cancelled or run.turn then return false end
  local max_attempts = tonumber(run.max_attempts)
  if run.deadline_ms and run.deadline_ms <= now_ms then return true end
  if loaded.is_given_up then return true end
  return loaded.is_free and max_attempts ~= nil and run.attempts >= max_attempts
end
