-- Whether a tree has room for one more below a parent: nothing, or 'reason current max' of the first limit that is in the way.
-- `limits`: 'depth children concurrent total', '-' for none; `tree` and `mine`: 'ever active' of the tree and of the parent.
local function room(limits, depth, tree, mine, lineage)
  local most = {string.match(limits, '^(%S+) (%S+) (%S+) (%S+)$')}
  local total, active = string.match(tree or '0 0', '(%d+) (%d+)')
  local now = {depth, string.match(mine or '0 0', '%d+$') + 1, active + 1, total + 1}
  for at, name in ipairs({'max_depth', 'max_children', 'max_concurrent', 'max_descendants'}) do
    if most[at] ~= '-' and now[at] > most[at] + 0 then return string.format('%s %d %s', name, now[at], most[at]) end
  end
  for at = 1, #lineage do
    local known = redis.call('HMGET', lineage[at], 'budget', 'spent')
    if known[1] and known[2] then
      local spent, budget = {string.match(known[2], '(%d+) (%d+)')}, {string.match(known[1], '(%S+) (%S+)')}
      for which, name in ipairs({'token_budget', 'cost_budget'}) do
        if budget[which] ~= '-' and spent[which] + 0 >= budget[which] + 0 then
          return string.format('%s %s %s', name, spent[which], budget[which])
        end
      end
    end
  end
end
