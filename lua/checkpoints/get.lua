-- Read a checkpoint with its blobs and pending writes.
-- Returns nil, or {place, record, blobs, write names, writes}. See lib/checkpoints/read_checkpoint.lua.
-- Index: none
--- include: read_checkpoint
local values    = KEYS[1]           -- hash
local names     = KEYS[2]           -- zset
local namespace = ARGV[1]
local id        = ARGV[2]           -- '' for the newest of the namespace
local max_bytes = tonumber(ARGV[3]) -- of the reply, more or less. The rest is read with checkpoints/read_values

local place = namespace .. '\n' .. id
if id == '' then
  local prefix = 'c\n' .. namespace
  local found = redis.call('ZREVRANGEBYLEX', names, '(' .. prefix .. '\11', '[' .. prefix .. '\n', 'LIMIT', 0, 1)
  if not found[1] then return false end
  place = string.sub(found[1], 3)
end
local record = redis.call('HGET', values, 'c\n' .. place)
if not record then return false end
return (read_checkpoint(values, names, place, record, {}, max_bytes))
