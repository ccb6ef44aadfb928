-- Delete documents: of each name the JSON form if there is one, else the text form, else the bytes.
-- Returns how many there were.
-- Index: none
--- include: live_times read_clock tail
local documents = KEYS[1]       -- hash
local names     = tail(ARGV, 1)

local now, deleted = read_clock(), 0
for _, name in ipairs(names) do
  for _, extension in ipairs({'.json', '.md', '.bin'}) do
    local field = name .. extension
    if live_times(documents, field, now) then
      redis.call('HDEL', documents, field, field .. '\n', field .. '\r')
      deleted = deleted + 1
      break
    end
  end
end
return deleted
