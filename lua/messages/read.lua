-- Read the newest messages of a range, with pinned ones that the cap moved to the hash, in their places.
-- Returns {incarnation, last seq, dropped, seq of the first listed, listed messages, pinned seqs, pinned messages}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation parse_counters tail extend_session read_clock
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local after       = tonumber(ARGV[2]) -- only seqs above it
local below       = tonumber(ARGV[3]) -- only seqs below it, or 0
local limit       = tonumber(ARGV[4]) -- how many at most
local extend      = ARGV[5] == '1'    -- whether reading extends the session's life

local found, counters, pinned_trimmed, settings =
  unpack(redis.call('HMGET', session, 'incarnation', 'counters', 'pinned_trimmed', 'settings'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters = parse_counters(counters)
local last_seq, dropped = counters.last_seq, counters.dropped
local high = below > 0 and math.min(below - 1, last_seq) or last_seq
local low = math.max(after + 1, dropped + 1, high - limit + 1)
local listed = low <= high and redis.call('LRANGE', messages, low - dropped - 1, high - dropped - 1) or {}

local seqs, pinned = {}, {}
if pinned_trimmed and pinned_trimmed ~= '' then
  for seq in string.gmatch(pinned_trimmed, '%d+') do
    if seq + 0 > after and (below == 0 or seq + 0 < below) then seqs[#seqs + 1] = seq end
  end
  seqs = tail(seqs, math.max(#seqs + #listed - limit, 0) + 1)
  for at, seq in ipairs(seqs) do pinned[at] = redis.call('HGET', session, 'pinned.' .. seq) end
end
if extend then extend_session(session, messages, read_clock(), settings) end
return {found, last_seq, dropped, low, listed, seqs, pinned}
