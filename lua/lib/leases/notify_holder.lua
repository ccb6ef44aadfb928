-- Publish one message to the process that holds a lease, if any. `stored` is the record of the lease, or nil. A holder that no
-- notification reaches learns the same from its next renewal.
--- include: parse_lease publish_to_waiter
local function notify_holder(stored, word, fact)
  local holder = parse_lease(stored)
  if holder.nonce ~= '-' and holder.channel ~= '-' then publish_to_waiter(holder, word, fact) end
end
