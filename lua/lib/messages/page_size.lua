-- Return how many messages may be read at once: few when a session has many bytes, because each of them can be a long one.
local function page_size(counters)
  return counters.bytes > 2000000 and 3 or 100
end
