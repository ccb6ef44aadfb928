-- Return whether a parent must be advanced after the end of a child: it is parked, an agent answers it, or messages wait in its
-- inbox although no worker has its run.
local function must_advance_parent(parent)
  local parked, answered_by, inbox, run = unpack(redis.call('HMGET', parent, 'parked', 'answered_by', 'inbox', 'run'))
  return (parked or answered_by or (inbox and not run)) and true
end
