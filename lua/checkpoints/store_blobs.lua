-- Store blobs before the checkpoint that names them, because they are too many bytes for one call. A mark in the zset says when
-- each was stored, until the put of the checkpoint. Blobs that no checkpoint names after a while are removed, because the process
-- that stored them died.
-- Returns 1, or -1 if the thread is not there and the caller has not put it into the index of threads. Then nothing was written.
-- Index: none
--- include: keep_thread read_clock tail
local values    = KEYS[1]           -- hash
local names     = KEYS[2]           -- zset
local namespace = ARGV[1]
local ttl_ms    = tonumber(ARGV[2]) -- idle time after which the thread expires, 0 for never
local creates   = ARGV[3] == '1'    -- whether the thread is in the index, so that it may be created
local wait_ms   = tonumber(ARGV[4]) -- for which a blob waits for its checkpoint
local blobs     = tail(ARGV, 5)     -- '<channel>\n<version>', the bytes, …

if not creates and redis.call('EXISTS', values) == 0 then return -1 end
local now_ms = read_clock()
local late = string.format('(s\n%016.0f', now_ms - wait_ms)
for _, mark in ipairs(redis.call('ZRANGEBYLEX', names, '[s\n', late, 'LIMIT', 0, 100)) do
  local blob = string.sub(mark, 20)
  if redis.call('HEXISTS', values, 'r\n' .. blob) == 0 then redis.call('HDEL', values, 'b\n' .. blob) end
  redis.call('ZREM', names, mark)
end
for at = 1, #blobs, 2 do
  local blob = namespace .. '\n' .. blobs[at]
  redis.call('HSET', values, 'b\n' .. blob, blobs[at + 1])
  redis.call('ZADD', names, 0, string.format('s\n%016.0f\n', now_ms) .. blob)
end
keep_thread(values, names, ttl_ms)
return 1
