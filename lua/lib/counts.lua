-- A session's counts as a table, from their field. (Append takes the same text apart by itself, for speed.)
local function counts(text)
  local names = {'rev', 'last', 'dropped', 'users', 'assistants', 'turns', 'pending', 'bytes', 'tokens', 'ops', 'updated'}
  local found, at = {}, 0
  for number in string.gmatch(text, '%d+') do
    at = at + 1
    found[names[at]] = tonumber(number)
  end
  return found
end
