-- The arguments from `first` on, as a table; unlike unpack, for any number of them.
local function rest(arguments, first)
  local tail = {}
  for at = first, #arguments do
    tail[at - first + 1] = arguments[at]
  end
  return tail
end
