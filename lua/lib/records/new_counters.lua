-- Return the counters of a session that was just created.
local function new_counters(now_us)
  return string.format('0 0 0 0 0 0 0 0 0 0 %.0f', now_us)
end
