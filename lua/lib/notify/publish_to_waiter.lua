-- Publish '<nonce> <word> <fact>' on a waiter's channel. Return whether the waiter can have heard it. PUBLISH returning 0
-- proves that the waiter's process is gone, except in a cluster, where it counts the subscribers of one node.
local function publish_to_waiter(waiter, word, fact)
  local heard = redis.pcall('PUBLISH', waiter.channel, waiter.nonce .. ' ' .. word .. ' ' .. fact)
  return type(heard) == 'number' and (heard > 0 or waiter.counts_receivers == '0') -- else this user may not publish
end
