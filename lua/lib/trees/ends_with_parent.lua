-- Return whether a mark '<number of the parent>/<policy><last>' is of a member with that policy, which may not have ended before.
local function ends_with_parent(number, status, last)
  return (status == 'active' or status == 'cancelled' or status == 'deleted') and number + 0 <= last + 0
end
