-- Store a checkpoint with its new blobs, in place of a checkpoint of the same namespace and ID.
-- Returns 1, or 0 if a blob that was stored before this call is gone, or -1 if the thread is not there and the caller has not put
-- it into the index of threads. Then nothing was written.
-- Errors: BOUND_EXCEEDED
-- Index: none
--- include: count_label keep_thread release_blobs split_checkpoint tail
local values          = KEYS[1]           -- hash: checkpoints, blobs, counts and pending writes of a thread
local names           = KEYS[2]           -- zset: their names in order
local namespace       = ARGV[1]
local id              = ARGV[2]
local record          = ARGV[3]           -- the checkpoint
local stored          = ARGV[4]           -- names of blobs that were stored before: '<channel>\n<version>\n' each
local max_checkpoints = tonumber(ARGV[5]) -- that the thread may have
local ttl_ms          = tonumber(ARGV[6]) -- idle time after which the thread expires, 0 for never
local creates         = ARGV[7] == '1'    -- whether the thread is in the index, so that it may be created
local blobs           = tail(ARGV, 8)     -- '<channel>\n<version>', the bytes, …

if not creates and redis.call('EXISTS', values) == 0 then return -1 end
local place = namespace .. '\n' .. id
local before = redis.call('HGET', values, 'c\n' .. place)
local count = tonumber(redis.call('HGET', values, 'n') or 0)
if not before and count >= max_checkpoints then
  return redis.error_reply(string.format('BOUND_EXCEEDED checkpoints %d %d', count + 1, max_checkpoints))
end
for name in string.gmatch(stored, '([^\n]*\n[^\n]*)\n') do
  if redis.call('HEXISTS', values, 'b\n' .. namespace .. '\n' .. name) == 0 then return 0 end
end
for at = 1, #blobs, 2 do redis.call('HSET', values, 'b\n' .. namespace .. '\n' .. blobs[at], blobs[at + 1]) end
redis.call('HSET', values, 'c\n' .. place, record)
local named, label = split_checkpoint(record)
for name in string.gmatch(named, '([^\n]*\n[^\n]*)\n') do
  redis.call('HINCRBY', values, 'r\n' .. namespace .. '\n' .. name, 1)
end
for _, mark in ipairs(stored ~= '' and redis.call('ZRANGEBYLEX', names, '[s\n', '(s\11', 'LIMIT', 0, 100) or {}) do
  local has_checkpoint = redis.call('HEXISTS', values, 'r\n' .. string.sub(mark, 20)) == 1
  if has_checkpoint then redis.call('ZREM', names, mark) end -- it waits no longer, see store_blobs
end
count_label(values, label, 1)
if before then
  local old_named, old_label = split_checkpoint(before)
  release_blobs(values, namespace, old_named)
  count_label(values, old_label, -1)
else
  redis.call('HINCRBY', values, 'n', 1)
  redis.call('ZADD', names, 0, 'c\n' .. place, 0, 'i\n' .. id .. '\n' .. namespace)
end
keep_thread(values, names, ttl_ms)
return 1
