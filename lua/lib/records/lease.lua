-- The session's lease: the last grant. The nonce is '-' or '+' when the lease is free, see free_lease.
local function parse_lease(text)
  local fence, nonce, deadline_ms, since_ms, counts_receivers, channel, owner =
    string.match(text or '0 - 0 0 0 - -', '^(%d+) (%S+) (%d+) (%d+) (%d) (%S+) (%S+)$')
  return {
    fence = fence + 0, nonce = nonce, deadline_ms = deadline_ms + 0, since_ms = since_ms + 0,
    counts_receivers = counts_receivers, channel = channel, owner = owner,
  }
end

local function format_lease(lease)
  return string.format('%d %s %d %d %s %s %s', lease.fence, lease.nonce, lease.deadline_ms, lease.since_ms,
    lease.counts_receivers, lease.channel, lease.owner)
end
