-- Return where the work of a session waits, for the caller who writes the queue: '<agent that answers or -> <priority> <fairness
-- key or ->'.
local function describe_queue(loaded)
  return string.format('%s %s %s', loaded.answered_by or '-', loaded.priority or '0', loaded.fairness_key or '-')
end
