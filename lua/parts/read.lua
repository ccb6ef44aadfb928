-- Read the newest messages of a range of a part, or one message by its ID.
-- Returns {incarnation, record of the part or '', seq of the first message, 1 if older ones may follow, message, …}.
-- Errors: SESSION_NOT_FOUND SESSION_REPLACED
-- Index: none
--- include: check_incarnation parse_part
local session     = KEYS[1]           -- hash
local parts       = KEYS[2]           -- hash: parts with their messages
local incarnation = ARGV[1]           -- the incarnation the caller knows, or ''
local name        = ARGV[2]           -- of the part
local id          = ARGV[3]           -- of the message, or '' for a range
local after       = tonumber(ARGV[4]) -- only seqs above it
local below       = tonumber(ARGV[5]) -- only seqs below it, or 0
local limit       = tonumber(ARGV[6]) -- how many at most
local max_bytes   = tonumber(ARGV[7]) -- at which a page is full

local found, has_parts = unpack(redis.call('HMGET', session, 'incarnation', 'has_parts'))
local refusal = check_incarnation(found, incarnation)
if refusal then return refusal end
local record = has_parts and redis.call('HGET', parts, 'part.' .. name)
if not record then return {found, '', 0, 0} end
local part = parse_part(record)
local low, high = math.max(after + 1, part.first_seq), below > 0 and math.min(below - 1, part.last_seq) or part.last_seq
if id ~= '' then
  low = (redis.call('HGET', parts, string.format('id.%d %s', part.number, id)) or 0) + 0
  high = low >= part.first_seq and low or low - 1
end
local count, bytes, pages, first = part.last_seq - part.first_seq + 1, 0, {}, high + 1
local size = math.min(math.max(math.floor(max_bytes / 4 * count / math.max(part.bytes, 1)), 1), 500)
while first > low and high + 1 - first < limit and bytes < max_bytes do
  local last = first - 1
  first = math.max(low, last - size + 1, high + 1 - limit)
  local fields = {}
  for seq = first, last do fields[#fields + 1] = string.format('message.%d %d', part.number, seq) end
  local page = redis.call('HMGET', parts, unpack(fields))
  for at = 1, #page do
    page[at] = page[at] or ''
    bytes = bytes + #page[at]
  end
  table.insert(pages, 1, page)
end
local shown = {found, record, first, first > low and 1 or 0}
for _, page in ipairs(pages) do
  for _, message in ipairs(page) do shown[#shown + 1] = message end
end
return shown
