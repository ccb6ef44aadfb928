-- The work of a session that workers claim: the run of a spawned session, or the turns of a session that an agent answers.
-- `max_attempts` is '-' when no worker may claim it. A `deadline_ms` or `limit_ms` of nil means no bound. `turn` is nil for a
-- run, 0 when no turn is open, else the seq of the first message that the turn answers. `available_ms` is the time before which
-- no worker claims the work. What became available at once has a time 10^12 ms before that, as in the queues, so that it stays
-- available when the clock goes back.
local function parse_run(text)
  local attempts, max_attempts, deadline_ms, limit_ms, timeout_ms, available_ms, fence, turn, retries, has_died =
    string.match(text or '0 - - - 0 0 0 - 0 0', '^(%d+) (%S+) (%S+) (%S+) (%d+) (%d+) (%d+) (%S+) (%d+) (%d)$')
  return {
    attempts = attempts + 0, max_attempts = max_attempts, deadline_ms = tonumber(deadline_ms),
    limit_ms = tonumber(limit_ms), timeout_ms = timeout_ms + 0, available_ms = available_ms + 0, fence = fence + 0,
    turn = tonumber(turn), retries = retries + 0, has_died = has_died,
  }
end

local function format_run(run)
  local function word(number)
    return number and string.format('%d', number) or '-'
  end
  return string.format('%d %s %s %s %d %d %d %s %d %s', run.attempts, run.max_attempts, word(run.deadline_ms),
    word(run.limit_ms), run.timeout_ms, run.available_ms, run.fence, word(run.turn), run.retries, run.has_died)
end
