-- Give work that enters the line its ranks, and return {rank, work, …}: lower is served before. Each priority, -100 to 100, has a
-- range of ranks. In the range the n-th work of each fairness key stands behind the (n-1)-th of every other key that waits, so a
-- key is served in turn. Ranks of the same round, 4,096 numbers, are in the order of arrival. Work without a key has the root of
-- its tree as key.
local function rank_works(ranks, works)
  local last, changed, ranked = {}, {}, {}
  local function last_rank(name)
    last[name] = last[name] or tonumber(redis.call('ZSCORE', ranks, name) or 0)
    return last[name]
  end
  local arrivals = -redis.call('ZINCRBY', ranks, -#works, '#') - #works
  for at, work in ipairs(works) do
    local priority, key = string.match(work, '^@(%-?%d+)/(%S+) ')
    priority, key = priority or '0', key or string.match(work, '%S+$') or work
    local name, start = priority .. '/' .. key, (100 - priority) * 2^44
    local round = math.floor(math.max(start, last_rank(priority), last_rank(name)) / 4096) + 1
    last[name] = round * 4096 + (arrivals + at) % 4096
    local rank = string.format('%.0f', last[name])
    changed[#changed + 1], changed[#changed + 2] = rank, name
    ranked[#ranked + 1], ranked[#ranked + 2] = rank, work
  end
  redis.call('ZADD', ranks, unpack(changed))
  return ranked
end
