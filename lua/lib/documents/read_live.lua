-- Return a document that exists: its bytes, '<created> <updated>', and '<expires> <ttl>', all in ms. The two texts may be false.
-- A document that has expired is removed. `field` is the name with its extension.
local function read_live(documents, field, now)
  local data, times, life = unpack(redis.call('HMGET', documents, field, field .. '\n', field .. '\r'))
  if data and life and (tonumber(string.match(life, '^%d+')) or 0) <= now then
    redis.call('HDEL', documents, field, field .. '\n', field .. '\r')
    return false
  end
  return data, times, life
end
