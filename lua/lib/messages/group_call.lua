-- Take one message into the groups of a transcript that has open calls and kept messages at most, because most calls and results
-- are such messages. Return the message, the text of the layout, '' for none, how many messages are kept, and the task; or nil
-- when the entry or the layout says more.
local function group_call(entry, seq, text)
  local open, group, kept, task, here = '', nil, '0', '0', string.format('%d', seq)
  if text then
    open, group, kept, task = string.match(text, '^(%S+) (%d+) %- (%d+) (%d+) %-$')
    if not open or #open > 8192 then return end -- the full rules bound the open calls
    if open == '-' then open = '' end
  end
  local flags, continues = string.byte(entry, 2), open ~= ''
  if not continues then group = here elseif seq - group > 999 then return end -- the full rules begin another group
  if flags % 4 > 1 then
    local facts = string.match(entry, '^%d+ %S+ (%S+)', 3)
    if string.byte(facts, -1) == 126 or (flags % 8 > 3 and not continues) then return end -- it binds the next, or has no call
    for sign, hash in string.gmatch(facts, '(.)(%w+)') do
      local listed = ',' .. open
      local first, last = string.find(listed, ',' .. string.sub(hash, 1, 8) .. '%w*:%d+')
      if first then open = string.sub(string.sub(listed, 1, first - 1) .. string.sub(listed, last + 1), 2) end
      if sign == '+' then
        open = (open ~= '' and open .. ',' or '') .. hash .. ':' .. here
      elseif not first then
        return -- no call has this ID: the full rules mark the result
      end
    end
  elseif flags % 8 > 3 then -- a result that does not say of which call
    continues = true
  end
  if continues and flags % 8 < 4 then
    entry = string.char(string.byte(entry), flags + 4) .. string.sub(entry, 3)
  end
  if open ~= '' then
    text = open .. ' ' .. group .. ' - ' .. kept .. ' ' .. task .. ' -'
  else
    text = kept == '0' and '' or '- 0 - ' .. kept .. ' ' .. task .. ' -'
  end
  return entry, text, kept + 0, task + 0
end
