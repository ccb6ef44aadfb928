-- Read checkpoints in a range of names, the highest name first.
-- Returns the last name that was looked at, or '' at the end of the range, and the checkpoints. A blob is read once a page.
-- Index: none
--- include: read_checkpoint
local values     = KEYS[1]           -- hash
local names      = KEYS[2]           -- zset
local low        = ARGV[1]           -- the range, as ZREVRANGEBYLEX takes it
local high       = ARGV[2]
local limit      = tonumber(ARGV[3]) -- checkpoints of the page
local max_bytes  = tonumber(ARGV[4]) -- of the reply, more or less
local with_blobs = ARGV[5] == '1'    -- with blobs and pending writes

local found, seen, last = {}, {}, ''
local members = redis.call('ZREVRANGEBYLEX', names, high, low, 'LIMIT', 0, limit)
for at, member in ipairs(members) do
  local kind, first, second = string.match(member, '^(%l)\n([^\n]*)\n([^\n]*)$')
  local place = kind == 'i' and second .. '\n' .. first or first .. '\n' .. second
  local record = redis.call('HGET', values, 'c\n' .. place)
  if record and with_blobs then
    found[#found + 1], max_bytes = read_checkpoint(values, names, place, record, seen, max_bytes)
  elseif record then
    found[#found + 1] = {place, record, {}, {}, {}}
    max_bytes = max_bytes - #record - 1024
  end
  if max_bytes <= 0 and at < #members then return {member, found} end
  last = member
end
return {#members == limit and last or '', found}
