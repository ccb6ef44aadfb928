-- Whether a tree has room for one more below a parent: nothing, or 'reason current max' of the first that is in the way.
-- `tree`: {'ever active', its limits, life, number of the label}; `limits`: 'depth children concurrent total', '-' for none;
-- `mine`: 'ever active' of the parent's children.
local function room(session, family, root, tree, limits, mine)
  local most = {string.match(limits, '^(%S+) (%S+) (%S+) (%S+)$')}
  local total, active = string.match(tree[1] or '0 0', '(%d+) (%d+)')
  local now = {#family / 2 + 1, string.match(mine or '0 0', '%d+$') + 1, active + 1, total + 1}
  for at, name in ipairs({'max_depth', 'max_children', 'max_concurrent', 'max_descendants'}) do
    if most[at] ~= '-' and now[at] > most[at] + 0 then return string.format('%s %d %s', name, now[at], most[at]) end
  end
  for at = -1, #family, 2 do
    local known = redis.call('HMGET', family[at] or session, 'budget', 'spent')
    if known[1] and known[2] then
      local spent, budget = {string.match(known[2], '(%d+) (%d+)')}, {string.match(known[1], '(%S+) (%S+)')}
      for which, name in ipairs({'token_budget', 'cost_budget'}) do
        if budget[which] ~= '-' and spent[which] + 0 >= budget[which] + 0 then
          return string.format('%s %s %s', name, spent[which], budget[which])
        end
      end
    end
  end
  if tree[4] and string.match(redis.call('HGET', root, 'member.' .. tree[4]), '^%S+ %d+ (%S+)') == 'active' then
    return 'label_in_use'
  end
end
