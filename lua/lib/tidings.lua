-- What those who watch are told of messages that were taken in, the last of them with this seq: '<first> <length> <message>…';
-- nothing when that is too much, and they are to read it.
local function tidings(entries, last)
  local size, parts = 0, {string.format('%d ', last - #entries + 1)}
  for at, entry in ipairs(entries) do
    size = size + #entry
    parts[at + 1] = string.format('%d ', #entry) .. entry
  end
  if size > 65536 then return 'ask', '0 0' end
  return 'new', table.concat(parts)
end
