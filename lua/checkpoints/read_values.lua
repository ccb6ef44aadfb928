-- Read values of a thread that did not fit into a page.
-- Returns the values, at least one, up to `max_bytes`. The caller asks again for the rest.
-- Index: none
--- include: tail
local values    = KEYS[1]           -- hash
local max_bytes = tonumber(ARGV[1]) -- of the reply, more or less
local fields    = tail(ARGV, 2)

local found = {}
for at, field in ipairs(fields) do
  found[at] = redis.call('HGET', values, field)
  max_bytes = max_bytes - 512 - (found[at] and #found[at] or 0)
  if max_bytes <= 0 then break end
end
return found
