-- Return the sums of two rows of whole numbers, position by position.
local function add_numbers(row, other)
  local next_number = string.gmatch(other, '%d+')
  return (string.gsub(row, '%d+', function(number) return string.format('%.0f', number + next_number()) end))
end
