-- Return a record with changes: a word '*' keeps the word at its place, another word replaces it.
local function merge_record(record, changes)
  local next_word = string.gmatch(record, '%S+')
  return (string.gsub(changes, '%S+', function(change)
    local word = next_word()
    return change == '*' and word or change
  end))
end
