-- Wakes those who wait for a session's next message ('<nonce> <until> <counted> <channel>\n' …), once.
local function rouse(session, readers)
  redis.call('HDEL', session, 'readers')
  for nonce, counted, channel in string.gmatch(readers, '(%S+) %d+ (%d) (%S+)\n') do
    tell(counted, channel, nonce, 'ask', 0, 0)
  end
end
