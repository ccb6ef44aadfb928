-- One waiter: a lease waiter, a join waiter, a subscriber, or a worker that waits for a run. Records end in a newline.
-- `detail` depends on the kind: '<ttl_ms> <owner>', '<target>', 'message' or 'watch', '-'.
local function parse_waiter(text, at)
  local nonce, until_ms, counts_receivers, channel, detail, next_at =
    string.match(text, '^(%S+) (%d+) (%d) (%S+) ([^\n]*)\n()', at)
  local waiter = {
    nonce = nonce, until_ms = until_ms + 0, counts_receivers = counts_receivers, channel = channel, detail = detail,
  }
  return waiter, next_at
end

local function format_waiter(waiter)
  return string.format('%s %d %s %s %s\n', waiter.nonce, waiter.until_ms, waiter.counts_receivers, waiter.channel,
    waiter.detail)
end
