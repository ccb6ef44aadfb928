-- Whether a batch that is repeated after `elapsed` ms is stored already, for when its record left the window: looks at the
-- messages that came since (and 2 s more, for a clock that another server set). Returns its first and last seq if so;
-- or false, second, when the cap dropped so much meanwhile that nobody can tell.
local function settle(messages, batch, last, dropped, now, elapsed)
  local first, final, oldest = nil, nil, now - elapsed - 2000
  for high = last, dropped + 1, -100 do
    local low = math.max(high - 99, dropped + 1)
    local page = redis.call('LRANGE', messages, low - dropped - 1, high - dropped - 1)
    for at = #page, 1, -1 do
      if string.match(page[at], '^%d+ (%S+)', 16) == batch then
        first, final = low + at - 1, final or low + at - 1
      elseif first or string.sub(page[at], 1, 13) + 0 < oldest then
        return first, final or true
      end
    end
  end
  return first, final or false
end
