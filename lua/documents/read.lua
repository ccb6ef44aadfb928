-- Read documents. One that has expired is removed.
-- Returns {the document, '<created> <updated> <expires> <ttl>'} or false for each field, up to `max_bytes`, at least one.
-- Index: none
--- include: read_clock read_live tail
local documents = KEYS[1]           -- hash
local touch     = ARGV[1] == '1'    -- let each document with a ttl live for it from now
local max_bytes = tonumber(ARGV[2]) -- of the reply, more or less. The caller asks again for the rest
local fields    = tail(ARGV, 3)     -- names with extensions

local now = read_clock()
local found = {}
for at, field in ipairs(fields) do
  local data, times, life = read_live(documents, field, now)
  found[at] = data and {data, (times or '0 0') .. ' ' .. (life or '0 0')}
  local ttl_ms = touch and life and tonumber(string.match(life, '%d+$')) or 0
  if ttl_ms > 0 then redis.call('HSET', documents, field .. '\r', string.format('%d %d', now + ttl_ms, ttl_ms)) end
  max_bytes = max_bytes - 512 - (data and #data or 0)
  if max_bytes <= 0 then break end
end
return found
