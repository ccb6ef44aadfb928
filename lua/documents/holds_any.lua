-- Tell whether a category holds documents that have not expired. Expired documents are removed.
-- Returns 1 or 0, or 2 when many had expired: the caller asks again.
-- Index: none
--- include: read_clock
local documents = KEYS[1] -- hash

local now, cursor = read_clock(), '0'
for _ = 1, 500 do
  local found = redis.call('HSCAN', documents, cursor, 'COUNT', 1)
  cursor = found[1]
  for at = 1, #found[2], 2 do
    local field = found[2][at]
    local last = string.sub(field, -1)
    if last ~= '\n' and last ~= '\r' then
      local life = redis.call('HGET', documents, field .. '\r')
      if not life or (tonumber(string.match(life, '^%d+')) or 0) > now then return 1 end
      redis.call('HDEL', documents, field, field .. '\n', field .. '\r')
    end
  end
  if cursor == '0' then return 0 end
end
return 2
