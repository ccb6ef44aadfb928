-- Replace values of a shared scope by others that mean the same, for example with another key. A value that changed since it was
-- read stays.
-- Returns how many values were replaced.
-- Index: none
--- include: tail
local values  = KEYS[1]       -- hash: the values by name
local log     = KEYS[2]       -- hash: totals, and results by operation
local changes = tail(ARGV, 1) -- name, the old value, the new value, …

local replaced, difference = 0, 0
for at = 1, #changes, 3 do
  if redis.call('HGET', values, changes[at]) == changes[at + 1] then
    redis.call('HSET', values, changes[at], changes[at + 2])
    replaced, difference = replaced + 1, difference + #changes[at + 2] - #changes[at + 1]
  end
end
local bytes, rest = string.match(redis.call('HGET', log, 'totals') or '', '^(%d+)( %d+ %d+ %d+)$')
if bytes then redis.call('HSET', log, 'totals', string.format('%d', math.max(bytes + difference, 0)) .. rest) end
return replaced
