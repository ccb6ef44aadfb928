-- Return the values of a list from position `first` on, as a table. Unlike unpack it takes any number of values.
local function tail(list, first)
  local values = {}
  for at = first, #list do values[#values + 1] = list[at] end
  return values
end
