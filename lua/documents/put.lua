-- Store documents. Each replaces the present one of its name and form.
-- Returns nothing.
-- Errors: BOUND_EXCEEDED
-- Index: none
--- include: read_clock tail
local documents     = KEYS[1]           -- hash
local max_documents = tonumber(ARGV[1]) -- documents that the category may hold
local expiring      = tonumber(ARGV[2]) -- documents with a ttl, as far as the caller knows: they have a field more
local values        = tail(ARGV, 3)     -- the name with its extension, the document, its ttl in ms or '0', …

local now = read_clock()
local found, new = {}, 0
for at = 1, #values, 3 do
  local times, life = unpack(redis.call('HMGET', documents, values[at] .. '\n', values[at] .. '\r'))
  local is_expired = life and (tonumber(string.match(life, '^%d+')) or 0) <= now
  found[at] = {times and not is_expired and string.match(times, '^%d+') or string.format('%d', now), life}
  if not times then new = new + 1 end
end
local count = (redis.call('HLEN', documents) - expiring) / 2 + new
if new > 0 and count > max_documents then
  return redis.error_reply(string.format('BOUND_EXCEEDED documents %d %d', math.ceil(count), max_documents))
end
for at = 1, #values, 3 do
  local field, ttl_ms = values[at], tonumber(values[at + 2])
  local created, life = unpack(found[at])
  redis.call('HSET', documents, field, values[at + 1], field .. '\n', string.format('%s %d', created, now))
  if ttl_ms > 0 then
    redis.call('HSET', documents, field .. '\r', string.format('%d %d', now + ttl_ms, ttl_ms))
  elseif life then
    redis.call('HDEL', documents, field .. '\r')
  end
end
