-- Groups of messages: a tool call, its results, and what came between; a reasoning item and the item that it binds. A message that
-- comes while a call is open, or a reasoning item binds the next one, continues the newest group. So do parallel calls of one response.
-- Take one message into the groups at the tail of a transcript. `layout` is changed. A call for which
-- `is_abandoned(hash, seq)` is true is marked and counted. Return the message with its flags and facts as they must be stored, and
-- whether the group's pin pinned the message.
--- include: message_kind message_facts set_facts set_flags
local function group_message(message, seq, layout, is_abandoned)
  local kind, flags, binds, is_new_pin = message_kind(message), string.byte(message, 10), layout.binds_next, false
  local continues = #layout.open > 0 or binds == 'b' or binds and kind == 'c' or kind == 't' and flags % 4 < 2 and flags % 8 > 3
  flags = flags - flags % 8 + flags % 4 + (continues and 4 or 0)
  if not continues then
    layout.group, layout.is_pinned = seq, flags % 2 == 1
  elseif layout.is_pinned and flags % 2 == 0 then
    flags, is_new_pin = flags + 1, true
  end
  if kind ~= 'u' and kind ~= 's' then layout.binds_next = kind == 'c' and binds and 'r' end
  local facts = message_facts(message)
  local new_facts = string.gsub(facts, '([-+?~])(%w*)', function(sign, hash)
    if sign == '~' then
      layout.binds_next = 'b'
      return
    end
    if sign == '+' and is_abandoned and is_abandoned(hash, seq) then
      layout.abandoned = layout.abandoned + 1
      return '!' .. hash
    end
    local at, new_hash
    for position, call in ipairs(layout.open) do
      if call[1] == hash then at = position end
    end
    local nearest = 256 -- a result of Gemini without an ID answers the first open call of its function, as call_hash numbers them
    for position, call in ipairs(sign == '-' and not at and layout.open or {}) do
      local ahead = (tonumber(call[1], 16) - tonumber(hash, 16)) % 4294967296
      if ahead < nearest then at, nearest, new_hash = position, ahead, call[1] end
    end
    if at then table.remove(layout.open, at) end
    if sign == '+' then
      layout.open[#layout.open + 1] = {hash, seq}
      if #layout.open > 1024 then table.remove(layout.open, 1) end
      return
    end
    return (at and '-' or '?') .. (new_hash or hash)
  end)
  if new_facts ~= facts then message = set_facts(message, facts, new_facts) end
  return set_flags(message, flags), is_new_pin
end
