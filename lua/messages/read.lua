-- Read the newest messages of a range, with those that the cap moved to the hash, in their places. If asked, also read the number
-- of the last change, or that and all fields with the state, as of the same moment.
-- Returns {incarnation, last seq, dropped, seq of the first listed, listed messages, seqs of kept messages,
-- kept messages, gaps: '<first>-<last>,…' or '', number of all kept messages, 1 if older messages may follow}; then the number of
-- the last status change or edit, and {name, value, …} of the fields as sessions/read_info returns them, with the state.
-- Errors: SESSION_NOT_FOUND SESSION_DAMAGED SESSION_REPLACED
-- Index: none
--- include: check_incarnation check_list parse_counters read_page
local session     = KEYS[1]           -- hash
local messages    = KEYS[2]           -- list
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local after       = tonumber(ARGV[2]) -- only seqs above it
local below       = tonumber(ARGV[3]) -- only seqs below it, or 0
local limit       = tonumber(ARGV[4]) -- how many at most
local extend      = ARGV[5] == '1'    -- whether reading extends the session's life
local max_bytes   = tonumber(ARGV[6]) -- at which a page is full
local more        = ARGV[7]           -- 'change' or 'fields', as above, or ''

local found, counters, layout, settings =
  unpack(redis.call('HMGET', session, 'incarnation', 'counters', 'layout', 'settings'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters = parse_counters(counters)
refusal = check_list(messages, counters)
if refusal then return refusal end
local page = read_page(session, messages, counters, layout, after, below, limit, max_bytes)
if extend then
  --- include: extend_session read_clock
  extend_session(session, messages, read_clock(), settings)
end
table.insert(page, 1, found)
if more ~= '' then
  page[11] = string.match(redis.call('HGET', session, 'status_log') or '', '(%d+) %d+ %d+ %S+\n$') or '0'
end
if more == 'fields' then
  --- include: read_info_fields
  page[12] = read_info_fields(session, messages, true)
end
return page
