-- Compare the lease of a write with the stored lease. `token` is '<fence> <nonce>', or '' for a write without a lease.
-- Return a refusal, or nil and the lease to store: a plain write ends a lease that ran out, so that its holder cannot go on.
--- include: parse_lease free_lease
local function check_lease(stored, token, now_ms)
  local lease = parse_lease(stored)
  if token ~= '' then
    if token == lease.fence .. ' ' .. lease.nonce then return end
    return redis.error_reply('LEASE_LOST ' .. lease.fence .. ' ' .. lease.owner)
  end
  if lease.nonce == '-' then return end
  local left_ms = lease.deadline_ms - now_ms
  if left_ms > 0 then
    return redis.error_reply(string.format('SESSION_LOCKED %s %d %d', lease.owner, lease.fence, left_ms))
  end
  return nil, free_lease(lease.fence)
end
