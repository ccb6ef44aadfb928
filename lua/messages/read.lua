-- Reads the newest messages of a range, with pinned ones that the cap moved aside in their place.
-- Returns {life, last seq, dropped, seq of the first listed, listed messages, seqs aside, messages aside}.
-- Errors: NOT_FOUND REPLACED
--- include: rest identify counts expire extend clock
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local after    = tonumber(ARGV[2]) -- only seqs above it
local below    = tonumber(ARGV[3]) -- only seqs below it, or 0
local limit    = tonumber(ARGV[4]) -- how many at the most
local slide    = ARGV[5]           -- '1': reading extends the session's life

local known = redis.call('HMGET', session, 'life', 'counts', 'aside', 'rules')
local refusal = identify(known[1], life)
if refusal then return refusal end
local count = counts(known[2])
local last, dropped = count.last, count.dropped
local high = below > 0 and math.min(below - 1, last) or last
local low = math.max(after + 1, dropped + 1, high - limit + 1)
local listed = low <= high and redis.call('LRANGE', messages, low - dropped - 1, high - dropped - 1) or {}

local seqs, aside = {}, {}
if known[3] and known[3] ~= '' then
  for seq in string.gmatch(known[3], '%d+') do
    if seq + 0 > after and (below == 0 or seq + 0 < below) then seqs[#seqs + 1] = seq end
  end
  seqs = rest(seqs, math.max(#seqs + #listed - limit, 0) + 1)
  for at, seq in ipairs(seqs) do aside[at] = redis.call('HGET', session, 'pinned.' .. seq) end
end
if slide == '1' then extend(session, messages, clock(), known[4]) end
return {known[1], last, dropped, low, listed, seqs, aside}
