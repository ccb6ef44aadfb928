-- The number of sessions that a tree, or a parent, ever spawned, and of those that are active.
local function parse_spawn_counts(text)
  local total, active = string.match(text or '0 0', '^(%d+) (%d+)$')
  return {total = total + 0, active = active + 0}
end

local function format_spawn_counts(counts)
  return string.format('%d %d', counts.total, counts.active)
end
