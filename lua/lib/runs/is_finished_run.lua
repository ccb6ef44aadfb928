-- Return whether a run has ended, is gone, is out of time, or has used up its attempts. A cancelled run that is still open is
-- finished by its tree.
local function is_finished_run(loaded)
  if not loaded.is_open then return true end
  local max_attempts = tonumber(loaded.run.max_attempts)
  local is_used_up = loaded.is_free and max_attempts and loaded.run.attempts >= max_attempts
  return not loaded.is_cancelled and (loaded.is_overdue or is_used_up)
end
