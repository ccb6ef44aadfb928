-- Read a session as of one moment: its fields, its state, and the newest messages of a range. Further pages have messages only.
-- Returns what messages/read returns, then the number of the last status change or edit, and {name, value, …} of the fields as
-- sessions/read_info returns them, with the state.
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
local with_fields = ARGV[7] == '1'    -- whether the fields and the state are read

local found, counters, layout, settings, log =
  unpack(redis.call('HMGET', session, 'incarnation', 'counters', 'layout', 'settings', 'status_log'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
counters = parse_counters(counters)
refusal = check_list(messages, counters)
if refusal then return refusal end
local page, fields = read_page(session, messages, counters, layout, after, below, limit, max_bytes), {}
if extend then
  --- include: extend_session read_clock
  extend_session(session, messages, read_clock(), settings)
end
if with_fields then
  --- include: read_info_fields
  fields = read_info_fields(session, messages, true)
end
table.insert(page, 1, found)
page[11], page[12] = string.match(log or '', '(%d+) %d+ %d+ %S+\n$') or '0', fields
return page
