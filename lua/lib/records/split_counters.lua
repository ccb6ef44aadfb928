-- The session's counters, as texts in their stored order. An append keeps them in local variables, because a table of them
-- would make each append 5 % slower. All others use parse_counters.
local function split_counters(text)
  return string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
end

-- The stored text of counters that are given in the order of split_counters.
local function join_counters(...)
  return string.format('%d %d %d %d %d %d %d %d %d %d %d %d', ...)
end

-- Return the counters of a session that was just created.
local function new_counters(now_us)
  return string.format('0 0 0 0 0 0 0 0 0 0 %.0f 0', now_us)
end
