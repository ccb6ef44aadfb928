-- Return how many numbers a space-separated text holds.
local function count_numbers(text)
  local _, count = string.gsub(text, '%d+', '')
  return count
end
