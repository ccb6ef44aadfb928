-- Read a session as it is stored, page by page: messages above a seq, or from the first on with all fields of that moment.
-- Returns {incarnation, now in ms, counters, ms left or -1, messages, {name, value, …}, seq of the last message, number of the
-- last status change or edit}; no messages when those asked for have changed.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation parse_counters parse_layout list_index list_seq read_clock
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local after       = tonumber(ARGV[2]) -- only seqs above it, or -1 for the first page
local last        = tonumber(ARGV[3]) -- only seqs up to it; the first page goes by the session's own
local limit       = tonumber(ARGV[4]) -- how many at most
local max_bytes   = tonumber(ARGV[5]) -- at which a page is full

local found, text = unpack(redis.call('HMGET', session, 'incarnation', 'counters'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local counters = parse_counters(text)
if redis.call('LLEN', messages) ~= counters.last_seq - counters.dropped then return check_incarnation(false, incarnation) end
local is_first, page, bytes = after < 0, {}, 0
local layout, log = unpack(redis.call('HMGET', session, 'layout', 'status_log'))
local dropped, gaps = counters.dropped, parse_layout(layout).gaps
local from = is_first and 0 or list_index(after + 1, dropped, gaps)
local till = math.min(from + limit, list_index((is_first and counters.last_seq or last) + 1, dropped, gaps))
local step = counters.bytes > 2000000 and 1 or 10 -- each of its messages can be a long one
for at = (is_first or from > 0) and from or till, till - 1, step do
  for _, message in ipairs(redis.call('LRANGE', messages, at, math.min(at + step - 1, till - 1))) do
    page[#page + 1], bytes = message, bytes + #message
  end
  if bytes >= max_bytes then break end
end
local fields = is_first and redis.call('HGETALL', session) or {}
local next_seq = #page > 0 and list_seq(from + #page - 1, dropped, gaps) or math.max(after, 0)
return {found, string.format('%d', (read_clock())), text, redis.call('PTTL', session), page, fields, next_seq,
  string.match(log or '', '(%d+) %d+ %d+ %S+\n$') or '0'}
