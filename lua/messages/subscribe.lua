-- Register a process that must hear of the session's next message once, or of all events. A repeated call renews the place.
-- Returns {incarnation, last seq}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED BOUND_EXCEEDED
-- Index: none
--- include: check_incarnation read_clock without_waiter format_waiter
local session          = KEYS[1]           -- hash
local incarnation      = ARGV[1]           -- the incarnation the caller knows, or ''
local nonce            = ARGV[2]           -- of the subscriber
local wait_ms          = tonumber(ARGV[3]) -- how long the subscription lasts; 0 ends it
local counts_receivers = ARGV[4]           -- '1' if PUBLISH returning 0 proves that the subscriber is gone
local channel          = ARGV[5]           -- on which it hears
local purpose          = ARGV[6]           -- 'message' or 'watch'
local max_subscribers      = tonumber(ARGV[7]) -- of the session

local found, counters, subscribers = unpack(redis.call('HMGET', session, 'incarnation', 'counters', 'subscribers'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local now_ms = read_clock()
local others = without_waiter(subscribers or '', nonce, now_ms)
if wait_ms > 0 then
  local _, count = string.gsub(others, '\n', '')
  if count >= max_subscribers then return redis.error_reply(string.format('BOUND_EXCEEDED readers %d %d', count + 1, max_subscribers)) end
  others = others .. format_waiter({
    nonce = nonce, until_ms = now_ms + wait_ms, counts_receivers = counts_receivers, channel = channel, detail = purpose,
  })
end
if others ~= '' then
  redis.call('HSET', session, 'subscribers', others)
elseif subscribers then
  redis.call('HDEL', session, 'subscribers')
end
return {found, string.match(counters, '^%d+') + 0}
