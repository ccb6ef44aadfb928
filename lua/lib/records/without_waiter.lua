-- Return the waiters without the one under a nonce and without those whose time is over.
local function without_waiter(waiters, nonce, now_ms)
  return (string.gsub(waiters, '(%S+) (%d+) [^\n]*\n', function(other, until_ms)
    if other == nonce or until_ms - now_ms <= 0 then return '' end
  end))
end
