-- Remove checkpoints with their pending writes, and the blobs that no other checkpoint names.
-- Returns how many places are done, and how many of these were checkpoints. The caller goes on behind the places.
-- Index: none
--- include: count_label release_blobs split_checkpoint tail write_range
local values    = KEYS[1]           -- hash
local names     = KEYS[2]           -- zset
local max_steps = tonumber(ARGV[1]) -- writes and blobs that one call removes, more or less
local places    = tail(ARGV, 2)     -- '<namespace>\n<ID>' each

local removed = 0
for at, place in ipairs(places) do
  local low, high = write_range(place)
  while true do
    local writes = redis.call('ZRANGEBYLEX', names, low, high, 'LIMIT', 0, 500)
    if #writes == 0 then break end
    if max_steps <= 0 then return {at - 1, removed} end
    redis.call('HDEL', values, unpack(writes))
    redis.call('ZREM', names, unpack(writes))
    max_steps = max_steps - #writes
  end
  if max_steps <= 0 and at > 1 then return {at - 1, removed} end
  local namespace, id = string.match(place, '^([^\n]*)\n(.*)$')
  local record = redis.call('HGET', values, 'c\n' .. place)
  if record then
    local blobs, label = split_checkpoint(record)
    local _, count = string.gsub(blobs, '\n', '')
    max_steps = max_steps - count / 2
    release_blobs(values, namespace, blobs)
    count_label(values, label, -1)
    redis.call('HDEL', values, 'c\n' .. place)
    redis.call('ZREM', names, 'c\n' .. place, 'i\n' .. id .. '\n' .. namespace)
    if redis.call('HINCRBY', values, 'n', -1) <= 0 then redis.call('HDEL', values, 'n') end
    removed = removed + 1
  end
end
return {#places, removed}
