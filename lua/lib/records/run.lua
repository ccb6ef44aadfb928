-- The run of a spawned session. `max_attempts` is '-' when no worker may claim it; a `deadline_ms` of nil means no time-out.
local function parse_run(text)
  local attempts, max_attempts, deadline_ms = string.match(text or '0 - -', '^(%d+) (%S+) (%S+)$')
  return {attempts = attempts + 0, max_attempts = max_attempts, deadline_ms = tonumber(deadline_ms)}
end

local function format_run(run)
  return string.format('%d %s %s', run.attempts, run.max_attempts,
    run.deadline_ms and string.format('%d', run.deadline_ms) or '-')
end
