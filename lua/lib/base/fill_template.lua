-- Return a template with the first occurrence of a word replaced.
local function fill_template(template, word, value)
  local first, last = string.find(template, word, 1, true)
  return first and string.sub(template, 1, first - 1) .. value .. string.sub(template, last + 1) or template
end
