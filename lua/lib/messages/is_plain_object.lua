-- Return whether a message has a header, and behind it what looks like a JSON object. Encoded and damaged messages do not.
local function is_plain_object(message)
  local facts = (string.byte(message, 10) or 0) % 4 > 1 and '%S+ ' or ''
  return string.sub(message, -1) == '}' and string.find(message, '^%d+ %S+ ' .. facts .. '{', 11) ~= nil
end
