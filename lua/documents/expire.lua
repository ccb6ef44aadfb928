-- Remove documents that have expired.
-- Returns the fields of those that had, of the given ones.
-- Index: none
--- include: read_clock tail
local documents = KEYS[1]       -- hash
local fields    = tail(ARGV, 1) -- names with extensions, of documents with a ttl, at most 1,000

local now, lives, expired = read_clock(), {}, {}
for at, field in ipairs(fields) do lives[at] = field .. '\r' end
for at, life in ipairs(redis.call('HMGET', documents, unpack(lives))) do
  if life and (tonumber(string.match(life, '^%d+')) or 0) <= now then
    redis.call('HDEL', documents, fields[at], fields[at] .. '\n', lives[at])
    expired[#expired + 1] = fields[at]
  end
end
return expired
