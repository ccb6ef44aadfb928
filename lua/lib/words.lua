-- How many numbers a space-separated text holds.
local function words(text)
  if text == '' then return 0 end
  local _, spaces = string.gsub(text, ' ', '')
  return spaces + 1
end
