-- Return the fields of the documents of a category that have not expired, and remove the others.
local function live_fields(documents, now)
  local fields, lives = {}, {}
  for _, name in ipairs(redis.call('HKEYS', documents)) do
    local last = string.sub(name, -1)
    if last == '\r' then
      lives[#lives + 1] = name
    elseif last ~= '\n' then
      fields[#fields + 1] = name
    end
  end
  local expired = {}
  for first = 1, #lives, 1000 do
    local part = {unpack(lives, first, math.min(first + 999, #lives))}
    for at, life in ipairs(redis.call('HMGET', documents, unpack(part))) do
      if tonumber(string.match(life, '^%d+')) <= now then
        local field = string.sub(part[at], 1, -2)
        expired[field] = true
        redis.call('HDEL', documents, field, field .. '\n', part[at])
      end
    end
  end
  local live = {}
  for _, field in ipairs(fields) do
    if not expired[field] then live[#live + 1] = field end
  end
  return live
end
