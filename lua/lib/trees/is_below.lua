-- Return whether a member of a tree, or an ancestor of the member, is one of those for which `known` is true. `known` keeps what
-- was learned of other members, so that each record is read once. A damaged record is below none.
--- include: parse_member
local function is_below(root, number, known)
  local path = {}
  while known[number] == nil do
    path[#path + 1] = number
    local parent = parse_member(redis.call('HGET', root, string.format('member.%d', number)) or '').parent
    local is_sound = parent and parent + 0 < number
    number = is_sound and parent + 0 or 0
  end
  for _, below in ipairs(path) do known[below] = known[number] end
  return known[number]
end
