-- Store a lease that is held from now on and ends in `ttl_ms`. `channel` is that of the holder's process, or '-'.
--- include: format_lease
local function grant_lease(session, fence, nonce, owner, channel, counts_receivers, now_ms, ttl_ms)
  redis.call('HSET', session, 'lease', format_lease({
    fence = fence, nonce = nonce, deadline_ms = now_ms + ttl_ms, since_ms = now_ms, counts_receivers = counts_receivers,
    channel = channel, owner = owner,
  }))
end
