-- Holds a session's counts against its limits ('turns entries duration action', '-' for none), in this order.
-- Returns the first that is passed, as 'turns 3 2' (limit, current, max), or nil; then what the session
-- answers when asked: 'exceeded …' or 'at_limit …' of the first that is reached, or 'ok'.
local function check(limits, turns, entries, duration)
  local max_turns, max_entries, max_duration = string.match(limits, '^(%S+) (%S+) (%S+)')
  local passed, state
  local function hold(limit, current, max, reached)
    max = tonumber(max)
    if not max or current < max or (current == max and not reached) then return end
    local fact = string.format('%s %.0f %.0f', limit, current, max)
    if current > max then passed = passed or fact end
    state = state or (current > max and 'exceeded ' or 'at_limit ') .. fact
  end
  hold('turns', turns, max_turns, true)
  hold('entries', entries, max_entries, true)
  hold('duration', duration, max_duration, false)
  return passed, state or 'ok'
end
