-- Grant a free lease to the first waiter that can hear it, and tell the waiter after that how long to wait.
-- The grant lasts at most 1 s, so that a waiter that died does not hold up the others; the first renewal makes it last the
-- whole ttl. The waiter that asks right now (`asking`) is granted its whole ttl at once. Return the nonce that was granted.
--- include: parse_waiter publish_to_waiter grant_lease free_lease save_lease_waiters
local function grant_next_waiter(session, fence, waiters, now_ms, asking)
  local at, granted, granted_ms = 1, nil, nil
  redis.call('HSET', session, 'lease', free_lease(fence)) -- refused for memory, if at all, before any waiter is notified
  while at <= #waiters do
    local waiter, next_at = parse_waiter(waiters, at)
    local is_waiting = waiter.until_ms - now_ms > 0
    if granted then
      local fact = string.format('%d %d', fence, granted_ms)
      if is_waiting and publish_to_waiter(waiter, 'held', fact) then break end
    elseif is_waiting then
      local ttl_ms, owner = string.match(waiter.detail, '^(%d+) (%S+)$')
      granted_ms = waiter.nonce == asking and ttl_ms + 0 or math.min(ttl_ms, 1000)
      local fact = string.format('%d %d', fence + 1, granted_ms)
      if waiter.nonce == asking or publish_to_waiter(waiter, 'granted', fact) then
        granted, fence = waiter.nonce, fence + 1
        grant_lease(session, fence, waiter.nonce, owner, waiter.channel, waiter.counts_receivers, now_ms, granted_ms)
      end
    end
    at = next_at
  end
  save_lease_waiters(session, string.sub(waiters, at))
  return granted
end
