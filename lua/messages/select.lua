-- Selects messages from the newest back: of some kinds, at most so many, within a token budget.
-- The budget pays for the system prompt first; the first message that does not fit ends the selection.
-- Returns {life, last seq, system prompt, seq to go on below or 0, seqs, messages}, newest first.
-- Errors: NOT_FOUND REPLACED
--- include: identify counts backwards
local session  = KEYS[1]           -- hash
local messages = KEYS[2]           -- list
local life     = ARGV[1]           -- the incarnation the caller knows, or ''
local after    = tonumber(ARGV[2]) -- only seqs above it
local below    = tonumber(ARGV[3]) -- only seqs below it, or 0
local limit    = tonumber(ARGV[4]) -- how many at the most; -1 for no bound
local kinds    = ARGV[5]           -- letters of the kinds wanted
local budget   = ARGV[6]           -- tokens, 'own' for the session's setting, or '' for no bound
local scan     = tonumber(ARGV[7]) -- how many messages to look at, at the most

local known = redis.call('HMGET', session, 'life', 'counts', 'aside', 'system', 'system_tokens', 'max_tokens')
local refusal = identify(known[1], life)
if refusal then return refusal end
if budget == 'own' then budget = known[6] end
local room = budget ~= '' and budget - (known[5] or 0)
local count, seqs, found = counts(known[2]), {}, {}

local function visit(seq, message)
  if not string.find(kinds, string.sub(message, 14, 14), 1, true) then return false end
  if room then
    room = room - string.match(message, '^%d+', 16)
    if room < 0 then return true end
  end
  seqs[#seqs + 1], found[#found + 1] = seq, message
  return #found == limit
end

local high = below > 0 and math.min(below - 1, count.last) or count.last
local next_below = 0
if limit ~= 0 then
  next_below = backwards(session, messages, count.dropped, known[3] or '', high, after, scan, visit)
end
return {known[1], count.last, known[4] or '', next_below, seqs, found}
