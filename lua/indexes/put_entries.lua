-- Put sessions into indexes, or move them between the active and the ended. Index entries are hints: the session itself is read
-- whenever it is listed. An announced session is about to be created or listed there, with an update time of now. Entries that
-- it had already keep their time of creation.
-- Returns how many entries an announced session had already.
-- Index: none
--- include: tail read_clock ensure_min_ttl
local indexes  = tail(KEYS, 1)     -- zsets of IDs, four an index: active by creation, active by last update, in microseconds;
                                   -- ended by creation, ended by last update
local ttl_ms   = tonumber(ARGV[1]) -- for which the indexes are kept at least
local as_of_us = tonumber(ARGV[2]) -- when the sessions were read: an entry that is newer stays
local entries  = tail(ARGV, 3)     -- 'announced', 'active' or 'ended'; created, 0 for now; updated; ID

local _, now_us = read_clock()
local now = string.format('%.0f', now_us)
local known_count = 0
for first = 1, #indexes, 4 do
  for entry = 1, #entries, 4 do
    local group, created, updated, id = unpack(entries, entry, entry + 3)
    local to, from = first, first + 2
    if group == 'ended' then to, from = from, to end
    if group == 'announced' then
      local is_active = redis.call('ZADD', indexes[to + 1], now, id) == 0
      local has_ended = redis.call('ZSCORE', indexes[from + 1], id) -- it stays there until the repair
      if is_active or has_ended then known_count = known_count + 1 end
      if has_ended then
        redis.call('ZADD', indexes[from + 1], now, id)
        created = redis.call('ZSCORE', indexes[from], id) or created
      end
      redis.call('ZADD', indexes[to], 'NX', created ~= '0' and created or now, id)
    else
      local known = redis.call('ZSCORE', indexes[to + 1], id) or redis.call('ZSCORE', indexes[from + 1], id)
      if tonumber(known or 0) <= math.max(as_of_us, tonumber(updated)) then
        if redis.call('ZREM', indexes[from], id) == 1 then redis.call('ZREM', indexes[from + 1], id) end
        redis.call('ZADD', indexes[to], created, id)
        redis.call('ZADD', indexes[to + 1], updated, id)
      end
    end
    ensure_min_ttl(indexes[to], ttl_ms)
    ensure_min_ttl(indexes[to + 1], ttl_ms)
  end
end
return known_count
