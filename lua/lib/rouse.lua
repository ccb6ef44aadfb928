-- Tells those who wait for something new in a session ('<nonce> <until> <counted> <channel>\n' …). Who waits for one message
-- is told to ask, once; who watches (his nonce begins with ~) is told the word and the text, and stays while he can hear.
local function rouse(session, readers, now, word, text)
  local staying = {}
  for nonce, last, counted, channel in string.gmatch(readers, '(%S+) (%d+) (%d) (%S+)\n') do
    local watches, hears = string.byte(nonce) == 126, last - now > 0
    if watches and hears then
      hears = tell(counted, channel, nonce, word, text)
    elseif not watches and word ~= 'delta' then
      hears = tell(counted, channel, nonce, 'ask', 0, 0) and false
    end
    if hears then staying[#staying + 1] = string.format('%s %s %s %s\n', nonce, last, counted, channel) end
  end
  staying = table.concat(staying)
  if staying == '' then
    redis.call('HDEL', session, 'readers')
  elseif staying ~= readers then
    redis.call('HSET', session, 'readers', staying)
  end
end
