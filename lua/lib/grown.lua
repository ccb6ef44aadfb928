-- Counts 'ever active' with one more in both.
local function grown(text)
  return (string.gsub(text or '0 0', '%d+', function(count) return string.format('%d', count + 1) end))
end
