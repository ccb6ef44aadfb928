-- Read up to `count` messages of the list that stand before an index, in steps of `size`, until they have `max_bytes`. Return the
-- index of the first one, the messages, and their bytes.
local function read_backwards(messages, index, count, max_bytes, size)
  local pages, listed, bytes, lowest = {}, {}, 0, index - count
  while index > lowest and bytes < max_bytes do
    local page = redis.call('LRANGE', messages, math.max(index - size, lowest), index - 1)
    index = index - #page
    for _, message in ipairs(page) do bytes = bytes + #message end
    pages[#pages + 1] = page
  end
  for at = #pages, 1, -1 do
    for _, message in ipairs(pages[at]) do listed[#listed + 1] = message end
  end
  return index, listed, bytes
end
