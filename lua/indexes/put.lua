-- Puts sessions into indexes, moves them between the active and the ended, or takes them out. Indexes are hints: a session
-- itself says what it is, and is asked whenever it is listed.
-- Returns nothing.
--- include: rest clock keep
local indexes = rest(KEYS, 1) -- zsets of ids, four an index: active by creation, by last update, in
                              -- microseconds; ended, likewise
local life    = tonumber(ARGV[1]) -- ms for which the indexes are kept at least
local as_of   = tonumber(ARGV[2]) -- when the sessions were read, in microseconds: what is there of later stays
local entries = rest(ARGV, 3) -- 'new', 'active', 'ended' or 'gone', created, updated (of 'gone' the latest that may go), id

local now = clock()
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
  if group == 'new' then created, updated = now .. micros, now .. micros end
  for first = 1, #indexes, 4 do
    local to, from = first, first + 2
    if group == 'ended' then to, from = from, to end
    if group == 'gone' then
      take_out(to, created, updated, id)
      take_out(from, created, updated, id)
    else
      local there = math.max(score(to + 1, id), score(from + 1, id))
      local knows_less = there > math.max(as_of, updated)
      if group == 'new' then knows_less = there > 0 end -- it is marked (indexes/note) until it was looked at
      if not knows_less then
        if redis.call('ZREM', indexes[from], id) == 1 then redis.call('ZREM', indexes[from + 1], id) end
        redis.call('ZADD', indexes[to], created, id)
        redis.call('ZADD', indexes[to + 1], updated, id)
      end
      keep(indexes[to], life)
      keep(indexes[to + 1], life)
    end
  end
end
