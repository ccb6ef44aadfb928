-- How many numbers a space-separated text holds.
local function words(text)
  local _, count = string.gsub(text, '%d+', '')
  return count
end
