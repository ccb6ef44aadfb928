-- Puts sessions into indexes, moves them between the active and the ended, or takes them out. Indexes are hints: a session
-- itself says what it is, and is asked whenever it is listed.
-- Returns nothing.
--- include: rest clock keep
local indexes = rest(KEYS, 1) -- zsets of ids, four an index: active by creation, by last update, in
                              -- microseconds; ended, likewise
local life    = tonumber(ARGV[1]) -- ms for which the indexes are kept at least
local entries = rest(ARGV, 2) -- 'new', 'active', 'ended' or 'gone', created, updated (of 'gone' the latest that may go), id

local now = clock()
local function take_out(at, created, updated, id)
  local is_old = (tonumber(redis.call('ZSCORE', indexes[at], id) or 0)) <= created + 0
  if is_old and (tonumber(redis.call('ZSCORE', indexes[at + 1], id) or 0)) <= updated + 0 then
    redis.call('ZREM', indexes[at], id)
    redis.call('ZREM', indexes[at + 1], id)
  end
end
for entry = 1, #entries, 4 do
  local group, created, updated, id = unpack(entries, entry, entry + 3)
  if group == 'new' then created, updated = now .. micros, now .. micros end
  for first = 1, #indexes, 4 do
    local to, from = first, first + 2
    if group == 'ended' then to, from = from, to end
    if group == 'gone' then
      take_out(to, created, updated, id)
      take_out(from, created, updated, id)
    else
      local is_there = group == 'new' and (redis.call('ZSCORE', indexes[to], id) or redis.call('ZSCORE', indexes[from], id))
      if not is_there and redis.call('ZREM', indexes[from], id) == 1 then redis.call('ZREM', indexes[from + 1], id) end
      if not is_there then -- else who announces it knows less: it is marked (indexes/note) until it was looked at
        redis.call('ZADD', indexes[to], created, id)
        redis.call('ZADD', indexes[to + 1], updated, id)
      end
      keep(indexes[to], life)
      keep(indexes[to + 1], life)
    end
  end
end
