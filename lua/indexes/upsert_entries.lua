-- Put sessions into indexes, move them between the active and the ended, or take them out. Index entries are hints: the session
-- itself is read whenever it is listed.
-- Returns nothing.
-- Index: none
--- include: tail read_clock ensure_min_ttl
local indexes  = tail(KEYS, 1)     -- zsets of IDs, four an index: active by creation, active by last update, in microseconds;
                                   -- ended by creation, ended by last update
local ttl_ms   = tonumber(ARGV[1]) -- for which the indexes are kept at least
local as_of_us = tonumber(ARGV[2]) -- when the sessions were read: an entry that is newer stays
local entries  = tail(ARGV, 3)     -- 'new', 'active', 'ended' or 'gone'; created; updated (of 'gone' the latest that may go); ID

local _, now_us = read_clock()
local function score(at, id)
  return tonumber(redis.call('ZSCORE', indexes[at], id)) or 0
end
local function take_out(at, created, updated, id)
  if score(at, id) <= created + 0 and score(at + 1, id) <= updated + 0 then
    redis.call('ZREM', indexes[at], id)
    redis.call('ZREM', indexes[at + 1], id)
  end
end
for entry = 1, #entries, 4 do
  local group, created, updated, id = unpack(entries, entry, entry + 3)
  if group == 'new' then
    created = string.format('%.0f', now_us)
    updated = created
  end
  for first = 1, #indexes, 4 do
    local to, from = first, first + 2
    if group == 'ended' then to, from = from, to end
    if group == 'gone' then
      take_out(to, created, updated, id)
      take_out(from, created, updated, id)
    else
      local known = math.max(score(to + 1, id), score(from + 1, id))
      local is_stale = known > math.max(as_of_us, updated)
      if group == 'new' then is_stale = known > 0 end -- the session is dirty until it was checked
      if not is_stale then
        if redis.call('ZREM', indexes[from], id) == 1 then redis.call('ZREM', indexes[from + 1], id) end
        redis.call('ZADD', indexes[to], created, id)
        redis.call('ZADD', indexes[to + 1], updated, id)
      end
      ensure_min_ttl(indexes[to], ttl_ms)
      ensure_min_ttl(indexes[to + 1], ttl_ms)
    end
  end
end
