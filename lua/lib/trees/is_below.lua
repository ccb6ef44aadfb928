-- Return whether a member of a tree, or an ancestor of the member, is one of those for which `known` is true, or for which
-- `is_of(number, member)` is true, if given. `known` keeps what was learned of other members, so that each record is read once.
-- A damaged record is below none.
--- include: parse_member
local function is_below(root, number, known, is_of)
  local path = {}
  while known[number] == nil do
    path[#path + 1] = number
    local member = parse_member(redis.call('HGET', root, string.format('member.%d', number)) or '')
    local parent = member.parent
    local is_sound = parent and parent + 0 < number
    if is_sound and is_of and is_of(number, member) then known[number] = true else number = is_sound and parent + 0 or 0 end
  end
  for _, below in ipairs(path) do known[below] = known[number] end
  return known[number]
end
