-- Notes who waits for a session's next message; he is told once.
-- Returns {life, last seq}.
-- Errors: NOT_FOUND REPLACED
--- include: identify clock
local session = KEYS[1]           -- hash
local life    = ARGV[1]           -- the incarnation the caller knows, or ''
local nonce   = ARGV[2]           -- who waits
local wait    = tonumber(ARGV[3]) -- ms he waits; 0 not any more
local counted = ARGV[4]           -- '1': a channel without a receiver says that he is gone
local channel = ARGV[5]           -- where he hears of it

local known = redis.call('HMGET', session, 'life', 'counts', 'readers')
local refusal = identify(known[1], life)
if refusal then return refusal end
local now = clock()
local others = string.gsub(known[3] or '', '(%S+) (%d+) [^\n]*\n', function(other, last)
  if other == nonce or last - now <= 0 then return '' end
end)
if wait > 0 then others = others .. string.format('%s %d %s %s\n', nonce, now + wait, counted, channel) end
if others ~= '' then
  redis.call('HSET', session, 'readers', others)
elseif known[3] then
  redis.call('HDEL', session, 'readers')
end
return {known[1], string.match(known[2], '^%d+ (%d+)') + 0}
