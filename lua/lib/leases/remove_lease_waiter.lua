-- Return the waiters without the one under a nonce.
local function remove_lease_waiter(waiters, nonce)
  local start = string.find('\n' .. waiters, '\n' .. nonce .. ' ', 1, true)
  if not start then return waiters end
  return string.sub(waiters, 1, start - 1) .. string.sub(waiters, string.find(waiters, '\n', start, true) + 1)
end
