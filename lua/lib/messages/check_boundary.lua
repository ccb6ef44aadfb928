-- Return whether a group ends with the message at an index. If not, also the seqs of the nearest messages with which one ends, 0
-- for none.
--- include: starts_group list_seq
local function check_boundary(messages, index, length, layout, dropped)
  local is_open = #layout.open > 0 or layout.binds_next == 'b'
  local function ends(at)
    if at < 0 then return true end
    if at == length - 1 then return not is_open end
    return starts_group(redis.call('LINDEX', messages, at + 1))
  end
  if index < length and ends(index) then return true end
  local before, after = math.min(index, length) - 1, index + 1
  while before >= 0 and not ends(before) do before = before - 1 end
  while after < length and not ends(after) do after = after + 1 end
  return false, before >= 0 and list_seq(before, dropped, layout.gaps) or 0,
    after < length and list_seq(after, dropped, layout.gaps) or 0
end
