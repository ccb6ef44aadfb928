-- Delete documents: of each name the JSON form if there is one, else the text form, else the bytes.
-- Returns how many there were.
-- Index: none
--- include: read_clock tail
local documents = KEYS[1]       -- hash
local names     = tail(ARGV, 1)

local now, deleted = read_clock(), 0
for _, name in ipairs(names) do
  for _, extension in ipairs({'.json', '.md', '.bin'}) do
    local field = name .. extension
    local life = redis.call('HGET', documents, field .. '\r')
    local is_expired = life and (tonumber(string.match(life, '^%d+')) or 0) <= now
    if redis.call('HDEL', documents, field) == 1 then
      redis.call('HDEL', documents, field .. '\n', field .. '\r')
      if not is_expired then
        deleted = deleted + 1
        break
      end
    end
  end
end
return deleted
