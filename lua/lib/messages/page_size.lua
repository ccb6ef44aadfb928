-- Return how many messages may be read at once: few when a session has many bytes, because each of them can be a long one.
local function page_size(counters)
  if counters.bytes < 2000000 then return 100 end
  return counters.bytes > 200000 * (counters.last_seq - counters.dropped) and 1 or 2
end
