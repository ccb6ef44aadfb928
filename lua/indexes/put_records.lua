-- Store what sessions are listed under, and when each must be checked again. Remove dirty marks that are settled.
-- Returns others that must be checked, 16 at most: IDs, and dirty marks ('<id> <writer>').
-- Index: none
--- include: tail read_clock ensure_min_ttl
local check_at    = KEYS[1]           -- zset: IDs by the time of the next check, in ms
local records     = KEYS[2]           -- hash: ID = the values it is listed under, a line each
local dirty       = KEYS[3]           -- zset: dirty marks by their time, in microseconds
local ttl_ms      = tonumber(ARGV[1]) -- for which all this is kept at least
local announce_ms = tonumber(ARGV[2]) -- after which an announced session is there, will not come, or has expired
local grace_ms    = tonumber(ARGV[3]) -- after which a writer is taken for dead
local updates     = tail(ARGV, 4)     -- ID, mode ('announce', 'put' or 'remove'), time of the next check, record, the time of the
                                      -- check that was read, writer whose mark is settled or '', until when, in microseconds, and
                                      -- the record that was read

local now_ms, now_us = read_clock()
local function remove_mark(mark, settled_us)
  if (tonumber(redis.call('ZSCORE', dirty, mark)) or math.huge) <= settled_us + 0 then redis.call('ZREM', dirty, mark) end
end
for at = 1, #updates, 8 do
  local id, mode, next_check, record, read_check, writer, settled_us, read_record = unpack(updates, at, at + 7)
  if mode == 'announce' then
    redis.call('ZADD', check_at, string.format('%d', now_ms + announce_ms), id)
    redis.call('ZADD', dirty, string.format('%.0f', now_us), id .. ' ' .. writer)
    ensure_min_ttl(dirty, ttl_ms)
    local before = redis.call('HGET', records, id)
    if before and before ~= record then record = before .. '\n' .. record end -- until it is known which of them holds
    redis.call('HSET', records, id, record)
  elseif mode == 'put' then
    local found = redis.call('HGET', records, id) or ''
    if found ~= read_record and found ~= record then -- another process listed it elsewhere since: keep both, and check again
      next_check, writer = string.format('%d', now_ms), ''
      if found ~= '' then record = found .. '\n' .. record end
    end
    redis.call('ZADD', check_at, next_check, id)
    redis.call('HSET', records, id, record)
  elseif (redis.call('ZSCORE', check_at, id) or '') == read_check then
    redis.call('ZREM', check_at, id)
    redis.call('HDEL', records, id)
  end
  if mode ~= 'announce' and writer ~= '' then
    remove_mark(id .. ' ' .. writer, settled_us)
    remove_mark(id .. ' ' .. writer .. '?', settled_us)
  end
end
ensure_min_ttl(check_at, ttl_ms)
ensure_min_ttl(records, ttl_ms)
local due = redis.call('ZRANGEBYSCORE', check_at, '-inf', string.format('%d', now_ms), 'LIMIT', 0, 8)
local abandoned = string.format('%.0f', (now_ms - grace_ms) * 1000)
for _, mark in ipairs(redis.call('ZRANGEBYSCORE', dirty, '-inf', abandoned, 'LIMIT', 0, 8)) do due[#due + 1] = mark end
return due
