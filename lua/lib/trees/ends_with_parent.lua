-- Return whether a mark '<number of the parent>/<policy><last>' is of a member: its policy holds, and it did not end before.
local function ends_with_parent(member, number, policy, last)
  local status = member.status
  local is_open = status == 'active' or status == 'cancelled' or status == 'deleted'
  return is_open and member.on_parent_end == policy and number + 0 <= last + 0
end
