-- Take sessions out of indexes, unless their entries are newer than a time.
-- Returns how many entries were removed.
-- Index: none
--- include: tail
local indexes   = tail(KEYS, 1)     -- zsets of IDs, four an index, as for `put_entries`
local latest_us = tonumber(ARGV[1]) -- the latest time that an entry to be removed may have
local ids       = tail(ARGV, 2)

local removed = 0
for first = 1, #indexes, 2 do
  for _, id in ipairs(ids) do
    local created = redis.call('ZSCORE', indexes[first], id) or 0
    local updated = redis.call('ZSCORE', indexes[first + 1], id) or 0
    if math.max(tonumber(created), tonumber(updated)) <= latest_us then
      redis.call('ZREM', indexes[first], id)
      removed = removed + redis.call('ZREM', indexes[first + 1], id)
    end
  end
end
return removed
