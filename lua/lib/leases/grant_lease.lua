-- Store a lease that ends `ttl_ms` from now.
--- include: format_lease
local function grant_lease(session, fence, nonce, owner, now_ms, ttl_ms)
  redis.call('HSET', session, 'lease',
    format_lease({fence = fence, nonce = nonce, deadline_ms = now_ms + ttl_ms, owner = owner}))
end
