-- Store blobs before the checkpoint that names them, because they are too many bytes for one call.
-- Returns nothing.
-- Index: none
--- include: keep_thread tail
local values    = KEYS[1]           -- hash
local names     = KEYS[2]           -- zset
local namespace = ARGV[1]
local ttl_ms    = tonumber(ARGV[2]) -- idle time after which the thread expires, 0 for never
local blobs     = tail(ARGV, 3)     -- '<channel>\n<version>', the bytes, …

for at = 1, #blobs, 2 do redis.call('HSET', values, 'b\n' .. namespace .. '\n' .. blobs[at], blobs[at + 1]) end
keep_thread(values, names, ttl_ms)
