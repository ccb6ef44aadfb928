-- List members of a tree that must still be finalized: '<number> <id>'. With a `top` they are those below that member whose
-- sessions may be stored. Else they are the active ones that were cancelled, by themselves or with an ancestor. Look at 1,000
-- members behind the number `after`, and list 50. Return the list, the number up to which it is complete, and whether no member
-- is behind that.
--- include: read_tree_members parse_member is_below ends_with_parent
local function list_unfinalized(root, top, after)
  local found, known, ended, marks = {}, {}, {}, top and string.format(' %d', top) or redis.call('HGET', root, 'cancelled') or ''
  for number, last in string.gmatch(marks, ' (%d+)/?c?(%d*)') do
    if last == '' then known[number + 0] = true else ended[number] = last end
  end
  local function is_of(number, member)
    local last = ended[member.parent]
    return last and member.on_parent_end == 'c' and ends_with_parent(number, member.status, last)
  end
  known[0] = known[0] or false
  local numbers, records, is_end = read_tree_members(root, after)
  for at, number in ipairs(numbers) do
    local member, is_wanted = parse_member(records[at]), nil
    if member.id and known[number] == nil then
      known[number] = is_of(number, member) or is_below(root, member.parent + 0, known, is_of)
    end
    if top then is_wanted = number ~= top and member.status ~= 'deleted' else is_wanted = member.status == 'active' end
    if is_wanted and known[number] then found[#found + 1] = string.format('%d ', number) .. member.id end
    after = number
    if #found == 50 then return found, after, is_end and at == #numbers end
  end
  return found, after, is_end
end
