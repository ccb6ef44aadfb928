-- Return text as a JSON string.
local function json_quote(text)
  return '"' .. string.gsub(text, '[%c"\\]', function(char)
    return string.format('\\u%04x', string.byte(char))
  end) .. '"'
end
