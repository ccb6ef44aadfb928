-- Read a list of a loop, in pages of 16 lines: its events, its turns, or the IDs of its steps.
-- Returns {incarnation, how many lines there are, number of the first page, '<line>\n' … of each page}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED LOOP_NOT_FOUND
-- Index: none
--- include: check_incarnation parse_loop
local session     = KEYS[1]           -- hash
local ledger      = KEYS[2]           -- hash: what the loops recorded
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local loop_id     = ARGV[2]
local kind        = ARGV[3]           -- event, turn or steps
local after       = tonumber(ARGV[4]) -- lines that are known
local limit       = tonumber(ARGV[5]) -- how many lines at most
local max_bytes   = tonumber(ARGV[6]) -- at which the reply is full

local found, text = unpack(redis.call('HMGET', session, 'incarnation', 'loop.' .. loop_id))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
if not text then return redis.error_reply('LOOP_NOT_FOUND ' .. loop_id) end
local loop = parse_loop(text)
local count = kind == 'event' and loop.events or kind == 'turn' and loop.turns or loop.steps
local first, bytes = math.floor(after / 16), 0
local shown = {found, count, first}
for page = first, math.floor((math.min(count, after + limit) - 1) / 16) do
  shown[#shown + 1] = redis.call('HGET', ledger, string.format('%s.%s %d', kind, loop_id, page)) or ''
  bytes = bytes + #shown[#shown]
  if bytes >= max_bytes then break end
end
return shown
