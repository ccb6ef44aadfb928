-- Reads a session as it is stored, page by page: messages above a seq, or from the first on with all fields of that moment.
-- Returns {life, now, counts, ms left or -1, messages, {name, value, …}}; no messages when those asked for have changed.
-- Errors: NOT_FOUND REPLACED
--- include: identify clock counts
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local after    = tonumber(ARGV[2]) -- only seqs above it, or -1 for the first page
local last     = tonumber(ARGV[3]) -- only seqs up to it; the first page goes by the session's own
local limit    = tonumber(ARGV[4]) -- how many at the most
local size     = tonumber(ARGV[5]) -- bytes at which a page is full

local known = redis.call('HMGET', session, 'life', 'counts')
local refusal = identify(known[1], life)
if refusal then return refusal end
local count = counts(known[2])
if redis.call('LLEN', messages) ~= count.last - count.dropped then return identify(false, life) end
local is_first, found, bytes = after < 0, {}, 0
local from = is_first and 0 or after - count.dropped
local till = math.min(from + limit, (is_first and count.last or last) - count.dropped)
-- Only the first retained message can have become another (compact), only what is dropped can be missed.
for at = (is_first or from > 0) and from or till, till - 1, 10 do
  for _, message in ipairs(redis.call('LRANGE', messages, at, math.min(at + 9, till - 1))) do
    found[#found + 1], bytes = message, bytes + #message
  end
  if bytes >= size then break end
end
return {known[1], clock(), known[2], redis.call('PTTL', session), found, is_first and redis.call('HGETALL', session) or {}}
