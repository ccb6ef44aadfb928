-- Groups of messages: a tool call, its results, and what came between; a reasoning item and the item that it binds. A message
-- that comes while a call is open, or a reasoning item binds the next one, continues the newest group. So do parallel calls of
-- one response. A group spans at most 1,000 seqs, so that a call that is never answered does not make each later edit of the
-- group longer: then its open calls are forgotten.
-- Take one message into the groups at the tail of a transcript. `layout` is changed. With `is_abandoned` the message is in the
-- list already: its pin stays as it is, and a call for which `is_abandoned(hash, seq)` is true is marked and counted. Return the
-- message with its flags and facts as they must be stored, and whether the group's pin pinned the message.
-- Behind the last message the caller calls drop_closed_calls.
--- include: message_kind message_flags message_facts set_facts set_flags index_calls
local function group_message(message, seq, layout, is_abandoned)
  if string.byte(message, 10) == 64 and not (layout.open[1] or layout.binds_next) then -- as most messages are
    layout.group, layout.is_pinned = seq, false
    return message, false
  end
  local kind, flags, binds, is_new_pin = message_kind(message), message_flags(message), layout.binds_next, false
  local is_full = layout.group > 0 and seq - layout.group > 999
  if is_full then
    --- include: forget_calls
    forget_calls(layout)
    binds = false
  end
  local calls = index_calls(layout)
  local continues = calls.count > 0 or binds == 'b' or binds and kind == 'c' or
    not is_full and kind == 't' and flags % 4 < 2 and flags % 8 > 3
  flags = flags - flags % 8 + flags % 4 + (continues and 4 or 0)
  if not continues or is_abandoned then
    layout.group, layout.is_pinned = continues and layout.group or seq, flags % 2 == 1
  elseif layout.is_pinned and flags % 2 == 0 then
    flags, is_new_pin = flags + 1, true
  end
  if kind ~= 'u' and kind ~= 's' then layout.binds_next = kind == 'c' and binds and 'r' end
  local facts = message_facts(message)
  if facts == '' then return set_flags(message, flags), is_new_pin end
  --- include: close_call open_call nearest_call
  local new_facts = string.gsub(facts, '([-+?~])(%w*)', function(sign, hash)
    if sign == '~' then
      layout.binds_next = 'b'
      return
    end
    if sign == '+' and is_abandoned and is_abandoned(hash, seq) then
      layout.abandoned = layout.abandoned + 1
      return '!' .. hash
    end
    local call = calls.by_hash[string.sub(hash, 1, 8)] or sign == '-' and nearest_call(layout, calls, hash)
    if call then close_call(calls, call) end
    if sign == '+' then
      open_call(layout, calls, hash, seq)
      return
    end
    return call and '-' .. call.id .. string.sub(hash, 9) or '?' .. hash
  end)
  if new_facts ~= facts then message = set_facts(message, facts, new_facts) end
  return set_flags(message, flags), is_new_pin
end
