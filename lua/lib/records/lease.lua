-- The session's lease: the last grant. The nonce is '-' when the lease is free.
local function parse_lease(text)
  local fence, nonce, deadline_ms, owner = string.match(text or '0 - 0 -', '^(%d+) (%S+) (%d+) (%S+)$')
  return {fence = fence + 0, nonce = nonce, deadline_ms = deadline_ms + 0, owner = owner}
end

local function format_lease(lease)
  return string.format('%d %s %d %s', lease.fence, lease.nonce, lease.deadline_ms, lease.owner)
end
