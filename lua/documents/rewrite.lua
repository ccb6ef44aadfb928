-- Replace documents by others that mean the same, for example with another key. A document that changed since it was read stays.
-- Returns how many documents were replaced.
-- Index: none
--- include: tail
local documents = KEYS[1]       -- hash
local values    = tail(ARGV, 1) -- field, the old value, the new value, …

local replaced = 0
for at = 1, #values, 3 do
  if redis.call('HGET', documents, values[at]) == values[at + 1] then
    redis.call('HSET', documents, values[at], values[at + 2])
    replaced = replaced + 1
  end
end
return replaced
