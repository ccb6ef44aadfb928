-- Read messages of some kinds from the newest back, at most `limit`.
-- Returns {incarnation, last seq, seq to go on below or 0, seqs, messages}, newest first.
-- Errors: SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED
-- Index: none
--- include: check_incarnation check_list parse_counters parse_layout message_kind scan_messages_desc
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local after       = tonumber(ARGV[2]) -- only seqs above it
local below       = tonumber(ARGV[3]) -- only seqs below it, or 0
local limit       = tonumber(ARGV[4]) -- how many at most; -1 for no bound
local kinds       = ARGV[5]           -- letters of the wanted kinds
local max_scanned = tonumber(ARGV[6]) -- how many messages to look at, at most
local max_bytes   = tonumber(ARGV[7]) -- at which a page is full

local found, counters, layout = unpack(redis.call('HMGET', session, 'incarnation', 'counters', 'layout'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters = parse_counters(counters)
refusal = check_list(messages, counters)
if refusal then return refusal end
local seqs, chosen, bytes = {}, {}, 0

local function visit(seq, message)
  if not string.find(kinds, message_kind(message), 1, true) then return false end
  seqs[#seqs + 1], chosen[#chosen + 1], bytes = seq, message, bytes + #message
  return #chosen == limit or bytes > max_bytes
end

local high, next_below = below > 0 and math.min(below - 1, counters.last_seq) or counters.last_seq, 0
if limit ~= 0 then
  next_below = scan_messages_desc(session, messages, counters, parse_layout(layout), high, after, max_scanned, visit)
end
if next_below == 0 and bytes > max_bytes then next_below = seqs[#seqs] end
return {found, counters.last_seq, next_below, seqs, chosen}
