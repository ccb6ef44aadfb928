-- Return the rank of work that enters the line, as a text: lower is served before. Each priority, -100 to 100, has a range of
-- ranks. In the range the n-th work of each fairness key stands behind the (n-1)-th of every other key that waits, so a key is
-- served in turn. Ranks of the same round, 4,096 numbers, are in the order of arrival. Work without a key has the root of its
-- tree as key.
local function rank_work(ranks, work)
  local priority, key = string.match(work, '^@(%-?%d+)/(%S+) ')
  priority, key = priority or '0', key or string.match(work, '%S+$') or work
  local start = (100 - priority) * 2^44
  local served, last = redis.call('ZSCORE', ranks, priority), redis.call('ZSCORE', ranks, priority .. '/' .. key)
  local round, arrivals = math.floor(math.max(start, served or 0, last or 0) / 4096) + 1, -redis.call('ZINCRBY', ranks, -1, '#')
  local rank = string.format('%.0f', round * 4096 + arrivals % 4096)
  redis.call('ZADD', ranks, rank, priority .. '/' .. key)
  return rank
end
