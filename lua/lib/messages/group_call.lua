-- Take one message into the groups of a transcript that holds only complete messages and open calls, because most calls and results
-- are such messages. Return the message and the text of the layout, '' for none; or nil when the message or the layout says more.
local function group_call(message, seq, text)
  local open, group = '', seq
  if text then
    open, group = string.match(text, '^(%S+) (%d+) %- 0 0 %-$')
    if not open or #open > 8192 then return end -- the full rules bound the open calls
    open = open .. ','
  end
  local flags, facts, changed = string.byte(message, 15), '', nil
  local continues = open ~= ''
  if flags % 4 > 1 then
    local before
    before, facts = string.match(message, '^(%d+ %S+ )(%S+)', 16)
    if #facts % 9 ~= 0 then return end -- it binds the next message
    for at = 1, #facts, 9 do
      local hash = string.sub(facts, at + 1, at + 8)
      local first = string.find(open, hash, 1, true)
      if first then open = string.sub(open, 1, first - 1) .. string.sub(open, string.find(open, ',', first, true) + 1) end
      if string.byte(facts, at) == 43 then -- '+'
        open = open .. hash .. ':' .. seq .. ','
      elseif not first then
        if open ~= '' then return end -- it may answer another call of its function
        changed = string.sub(changed or facts, 1, at - 1) .. '?' .. string.sub(facts, at + 1)
      end
    end
    if changed then
      message = string.sub(message, 1, 15 + #before) .. changed .. string.sub(message, 16 + #before + #facts)
    end
  elseif flags % 8 > 3 then -- a result that does not say of which call
    continues = true
  end
  if continues and flags % 8 < 4 then
    message = string.sub(message, 1, 14) .. string.char(flags + 4) .. string.sub(message, 16)
  end
  return message, open ~= '' and string.sub(open, 1, -2) .. ' ' .. (continues and group or seq) .. ' - 0 0 -' or ''
end
