-- Work out what is open when only the first `staying` messages of a list are left. `wanted` has the hashes of the calls that the
-- removed messages answer: these calls are open again. `layout` is changed.
--- include: message_kind message_facts is_pinned starts_group list_seq find_back
local function reopen_calls(messages, layout, dropped, staying, after_seq, wanted)
  local open, binds, is_bound, is_later_call, newest = {}, false, nil, false, nil
  for _, call in ipairs(layout.open) do
    if call[2] <= after_seq then open[#open + 1] = call end
  end
  find_back(messages, staying - 1, function(message, index)
    local facts, kind, signs = message_facts(message), message_kind(message), {}
    newest = newest or message
    for sign, hash in string.gmatch(facts, '([-+!])(%w+)') do
      if wanted[string.sub(hash, 1, 8)] then signs[hash] = sign end
    end
    for hash, sign in pairs(signs) do
      wanted[string.sub(hash, 1, 8)] = nil
      if sign == '+' then open[#open + 1] = {hash, list_seq(index, dropped, layout.gaps)} end
    end
    if not is_bound and string.find(facts, '~', 1, true) then binds = is_later_call and 'r' or 'b' end
    is_bound = is_bound or binds or not string.find('usc', kind, 1, true)
    is_later_call = is_later_call or kind == 'c'
    return starts_group(message) or (is_bound and not next(wanted))
  end)
  table.sort(open, function(one, other)
    return one[2] < other[2] or (one[2] == other[2] and one[1] < other[1])
  end)
  layout.open, layout.binds_next = open, binds
  if #open == 0 and not binds then
    layout.group = 0
  elseif layout.group == 0 or layout.group > after_seq then
    layout.group = list_seq(find_back(messages, staying - 1, starts_group) or 0, dropped, layout.gaps)
  end
  layout.is_pinned = is_pinned(newest)
end
