-- Read the newest messages of a range, with those that the cap moved to the hash, in their places.
-- Returns {incarnation, last seq, dropped, seq of the first listed, listed messages, seqs of kept messages,
-- kept messages, gaps: '<first>-<last>,…' or '', number of all kept messages, 1 if older messages may follow}.
-- Errors: SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED
-- Index: none
--- include: check_incarnation check_list parse_counters list_index list_seq tail extend_session read_clock
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local after       = tonumber(ARGV[2]) -- only seqs above it
local below       = tonumber(ARGV[3]) -- only seqs below it, or 0
local limit       = tonumber(ARGV[4]) -- how many at most
local extend      = ARGV[5] == '1'    -- whether reading extends the session's life
local max_bytes   = tonumber(ARGV[6]) -- of a page, by the mean size of the session's messages; one message at least

local found, counters, layout, settings =
  unpack(redis.call('HMGET', session, 'incarnation', 'counters', 'layout', 'settings'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters = parse_counters(counters)
refusal = check_list(messages, counters)
if refusal then return refusal end
local last_seq, dropped, gaps, seqs, pinned = counters.last_seq, counters.dropped, '', {}, {}
if layout then
  --- include: parse_layout
  layout = parse_layout(layout)
  gaps = layout.gaps
end
local high = list_index(below > 0 and math.min(below, last_seq + 1) or last_seq + 1, dropped, gaps) - 1
local lowest = math.max(list_index(after + 1, dropped, gaps), 0)
limit = math.min(limit, math.max(math.floor(max_bytes * (last_seq - dropped + 1) / (counters.bytes + 1)), 1))
local low = math.max(lowest, high - limit + 1)
local listed = low <= high and redis.call('LRANGE', messages, low, high) or {}
if layout then
  --- include: kept_seqs
  for _, seq in ipairs(kept_seqs(session, layout)) do
    if seq > after and (below == 0 or seq < below) then seqs[#seqs + 1] = seq end
  end
  seqs = tail(seqs, math.max(#seqs + #listed - limit, 0) + 1)
  for at, seq in ipairs(seqs) do pinned[at] = redis.call('HGET', session, 'kept.' .. seq) end
end
if extend then extend_session(session, messages, read_clock(), settings) end
return {found, last_seq, dropped, list_seq(low, dropped, gaps), listed, seqs, pinned, gaps, layout and layout.kept or 0,
  #seqs + #listed == limit and 1 or 0}
