-- The header of an entry, which is a message before it has its time: '<kind><flags><tokens> <batch ID> <payload>'.
-- Return the kind and the flags as bytes, the tokens, and the position of the space before the batch ID.
local function parse_entry(entry)
  local space = string.find(entry, ' ', 3, true)
  local kind, flags = string.byte(entry, 1, 2)
  return kind, flags, string.sub(entry, 3, space - 1), space
end

local function entry_batch(entry)
  return string.match(entry, '^%S+ (%S+)')
end

-- Return whether an entry is the result of a child, see build_result_message. No caller can give such a batch ID.
local function is_child_result(entry)
  return string.find(entry, '^%S+ ~%S+%.result') ~= nil
end
