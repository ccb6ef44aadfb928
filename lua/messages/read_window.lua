-- Read the newest messages for the window of a model call, until the budget or the page is full. The budget pays for the system
-- prompt first. The message that does not fit is the last one read, because its group may have to be complete.
-- Returns {incarnation, last seq, system prompt, tokens of the prompt, format, max_tokens, seq to go on below or 0, seqs,
-- messages, seq of the newest user message, this message}, newest first. The user message is '' when it is among the messages, or
-- gone.
-- Errors: SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED
-- Index: none
--- include: check_incarnation check_list parse_counters parse_layout message_tokens scan_messages_desc list_index list_seq kept_seqs
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local below       = tonumber(ARGV[2]) -- only seqs below it, or 0
local budget      = ARGV[3]           -- tokens, or '' for the session's max_tokens
local max_bytes   = tonumber(ARGV[4]) -- at which a page is full
local max_scanned = tonumber(ARGV[5]) -- how many messages to look at, at most

local found, counters, layout, system, system_tokens, max_tokens, format = unpack(redis.call('HMGET', session, 'incarnation',
  'counters', 'layout', 'system', 'system_tokens', 'max_tokens', 'format'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters, layout = parse_counters(counters), parse_layout(layout)
refusal = check_list(messages, counters)
if refusal then return refusal end
local dropped, user_seq = counters.dropped, counters.user_seq
local tokens_left = (budget == '' and max_tokens or budget) - (below == 0 and system_tokens or 0)
local seqs, chosen, bytes = {}, {}, 0

local function visit(seq, message)
  seqs[#seqs + 1], chosen[#chosen + 1] = seq, message
  tokens_left, bytes = tokens_left - message_tokens(message), bytes + #message
  return tokens_left < 0 or bytes > max_bytes
end

local high = below > 0 and math.min(below - 1, counters.last_seq) or counters.last_seq
local next_below = scan_messages_desc(session, messages, counters, layout, high, 0, max_scanned, visit)
if #seqs > 0 and next_below == 0 and (tokens_left < 0 or bytes > max_bytes) then
  local oldest = layout.kept > 0 and kept_seqs(session, layout)[1] or list_seq(0, dropped, layout.gaps)
  if seqs[#seqs] > oldest then next_below = seqs[#seqs] end
end
local user
if below == 0 and user_seq > 0 and #seqs > 0 and user_seq < seqs[#seqs] then
  local at = list_index(user_seq, dropped, layout.gaps)
  user = at >= 0 and redis.call('LINDEX', messages, at) or redis.call('HGET', session, 'kept.' .. user_seq)
end
return {found, counters.last_seq, system or '', system_tokens or '0', format or '', max_tokens, next_below, seqs, chosen,
  user_seq, user or ''}
