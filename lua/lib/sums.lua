-- Two rows of whole numbers, added one by one.
local function sums(one, other)
  local more = string.gmatch(other, '%d+')
  return (string.gsub(one, '%d+', function(number) return string.format('%.0f', number + more()) end))
end
