-- Read messages from the newest back: of some kinds, at most `limit`, within a token budget. The budget pays for the system
-- prompt first. The first message that does not fit ends the page.
-- Returns {incarnation, last seq, system prompt, seq to go on below or 0, seqs, messages}, newest first.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation parse_counters message_kind message_tokens scan_messages_desc
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local after       = tonumber(ARGV[2]) -- only seqs above it
local below       = tonumber(ARGV[3]) -- only seqs below it, or 0
local limit       = tonumber(ARGV[4]) -- how many at most; -1 for no bound
local kinds       = ARGV[5]           -- letters of the wanted kinds
local budget      = ARGV[6]           -- tokens, 'own' for the session's max_tokens, or '' for no bound
local max_scanned = tonumber(ARGV[7]) -- how many messages to look at, at most

local found, counters, pinned_trimmed, system, system_tokens, max_tokens = unpack(redis.call('HMGET', session, 'incarnation',
  'counters', 'pinned_trimmed', 'system', 'system_tokens', 'max_tokens'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters = parse_counters(counters)
if budget == 'own' then budget = max_tokens end
local tokens_left = budget ~= '' and budget - (system_tokens or 0)
local seqs, chosen = {}, {}

local function visit(seq, message)
  if not string.find(kinds, message_kind(message), 1, true) then return false end
  if tokens_left then
    tokens_left = tokens_left - message_tokens(message)
    if tokens_left < 0 then return true end
  end
  seqs[#seqs + 1], chosen[#chosen + 1] = seq, message
  return #chosen == limit
end

local high, next_below = below > 0 and math.min(below - 1, counters.last_seq) or counters.last_seq, 0
if limit ~= 0 then
  next_below =
    scan_messages_desc(session, messages, counters.dropped, pinned_trimmed or '', high, after, max_scanned, visit)
end
return {found, counters.last_seq, system or '', next_below, seqs, chosen}
