-- Return whether a group ends with the message at an index. If not, also the seqs of the nearest messages with which one ends, 0
-- for none.
--- include: starts_group find_back find_next_group list_index list_seq
local function check_boundary(messages, index, length, layout, dropped)
  if index < 0 then return true end
  local is_open = #layout.open > 0 or layout.binds_next == 'b'
  local newest = layout.group > 0 and list_index(layout.group, dropped, layout.gaps) or length
  local at = math.min(index, length - 1)
  local behind = at < newest and find_next_group(messages, at, length) or length
  local after = (behind < length or not is_open) and behind - 1 or -1
  if index == after then return true end
  local before = after
  if index < length then
    before = (at < newest and (find_back(messages, at, starts_group) or 0) or newest) - 1
  elseif is_open then
    before = newest - 1
  end
  return false, before >= 0 and list_seq(before, dropped, layout.gaps) or 0,
    index < length and after >= 0 and list_seq(after, dropped, layout.gaps) or 0
end
