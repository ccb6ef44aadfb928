-- What to answer to a batch that is repeated after `elapsed` ms, when its record has left the window: looks for it among
-- the messages that came since (and 2 s more, for a clock that another server set). Nil when it is not there; a refusal
-- when the cap dropped so much meanwhile that nobody can tell.
local function settle(messages, known, batch, elapsed, now)
  local rev, last, dropped, number = string.match(known[3], '^(%d+) (%d+) (%d+) .- (%d+) %d+$')
  local first, final, oldest, older = nil, nil, now - elapsed - 2000, false
  for high = last + 0, dropped + 1, -100 do
    local low = math.max(high - 99, dropped + 1)
    local page = redis.call('LRANGE', messages, low - dropped - 1, high - dropped - 1)
    for at = #page, 1, -1 do
      if string.match(page[at], '^%d+ (%S+)', 16) == batch then
        first, final = low + at - 1, final or low + at - 1
      elseif string.sub(page[at], 1, 13) + 0 < oldest then
        older = true
      end
    end
    if older or (first and first > low) then break end
  end
  if first then
    return string.format('%s 1 %d %d %d %d %d ok', known[1], first, final, rev, last - dropped, dropped)
  end
  if not older and number + 0 > 64 and dropped + 0 > 0 then return redis.error_reply('UNSETTLED ' .. batch) end
end
