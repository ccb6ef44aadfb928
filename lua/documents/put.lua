-- Store documents. Each replaces the present one of its name and form.
-- Returns nothing.
-- Errors: BOUND_EXCEEDED
-- Index: none
--- include: live_fields live_times read_clock tail
local documents     = KEYS[1]           -- hash
local max_documents = tonumber(ARGV[1]) -- documents that the category may hold
local values        = tail(ARGV, 2)     -- the name with its extension, the document, its ttl in ms or '0', …

local now = read_clock()
local times, new = {}, 0
for at = 1, #values, 3 do
  times[at] = live_times(documents, values[at], now)
  if not times[at] then new = new + 1 end
end
-- A document has two fields, and three with a ttl, so that the documents are counted only near the bound.
if new > 0 and redis.call('HLEN', documents) / 2 + new > max_documents then
  local count = #live_fields(documents, now) + new
  if count > max_documents then
    return redis.error_reply(string.format('BOUND_EXCEEDED documents %d %d', count, max_documents))
  end
end
for at = 1, #values, 3 do
  local field, ttl_ms = values[at], tonumber(values[at + 2])
  local created = times[at] and string.match(times[at], '^%d+') or '0'
  if created == '0' then created = string.format('%d', now) end
  redis.call('HSET', documents, field, values[at + 1], field .. '\n', string.format('%s %d', created, now))
  if ttl_ms > 0 then
    redis.call('HSET', documents, field .. '\r', string.format('%d %d', now + ttl_ms, ttl_ms))
  else
    redis.call('HDEL', documents, field .. '\r')
  end
end
