-- Publish one message to every waiter.
--- include: parse_waiter publish_to_waiter
local function notify_waiters(waiters, word, fact)
  local at = 1
  while at <= #waiters do
    local waiter
    waiter, at = parse_waiter(waiters, at)
    publish_to_waiter(waiter, word, fact)
  end
end
