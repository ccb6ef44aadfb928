-- Tells everyone in a line ('<nonce> <until> <ttl> <counted> <channel> <owner>\n' …).
local function tell_all(line, word, number, left)
  for nonce, counted, channel in string.gmatch(line or '', '(%S+) %d+ %d+ (%d) (%S+) %S+\n') do
    tell(counted, channel, nonce, word, number, left)
  end
end
