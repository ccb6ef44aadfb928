-- Compare a session's counts with its limits, in the order turns, entries, duration.
-- Return the first limit that is exceeded as '<limit> <current> <max>', or nil; then the limit state that a caller sees:
-- 'exceeded <limit> …' or 'at_limit <limit> …' of the first limit that is reached, or 'ok'.
local function evaluate_limits(limits, turns, entries, duration_ms)
  local exceeded, state
  local function compare(name, current, max, has_at_limit)
    if not max or current < max or (current == max and not has_at_limit) then return end
    local fact = string.format('%s %.0f %.0f', name, current, max)
    if current > max then exceeded = exceeded or fact end
    state = state or (current > max and 'exceeded ' or 'at_limit ') .. fact
  end
  compare('turns', turns, limits.max_turns, true)
  compare('entries', entries, limits.max_entries, true)
  compare('duration', duration_ms, limits.max_duration_ms, false)
  return exceeded, state or 'ok'
end
