-- Return the times of a document that exists: '<created> <updated> <expires> <ttl>' in ms, with 0 for a time that it lacks.
-- A document that has expired is removed. `field` is the name with its extension.
local function live_times(documents, field, now)
  local found = redis.call('HMGET', documents, field .. '\n', field .. '\r')
  if not found[1] and redis.call('HEXISTS', documents, field) == 0 then return false end
  local life = found[2] or '0 0'
  local expires = tonumber(string.match(life, '^%d+')) or 0
  if expires > 0 and expires <= now then
    redis.call('HDEL', documents, field, field .. '\n', field .. '\r')
    return false
  end
  return (found[1] or '0 0') .. ' ' .. life
end
