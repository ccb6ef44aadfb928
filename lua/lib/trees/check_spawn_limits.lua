-- Return why a tree has no room for one more session below a parent, as '<reason> <current> <max>', or nil.
-- `tree_limits` is '<max_depth> <max_children> <max_active> <max_descendants> <max_spawned>', '-' for no limit. `label_number` is
-- the number of the member that has the wanted label, or nil.
--- include: parse_spawn_counts parse_member count_pruned find_exceeded_budget
local function check_spawn_limits(session, ancestor_keys, root, tree, tree_limits, children, label_number)
  local maxima = {string.match(tree_limits, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')}
  local of_tree, of_parent = parse_spawn_counts(tree), parse_spawn_counts(children)
  local spawned = of_tree.total + 1
  local wanted = {#ancestor_keys / 2 + 1, of_parent.active + 1, of_tree.active + 1, spawned, spawned}
  for at, name in ipairs({'max_depth', 'max_children', 'max_active', 'max_descendants', 'max_spawned'}) do
    if maxima[at] ~= '-' and wanted[at] > maxima[at] + 0 then
      if name == 'max_descendants' then wanted[at] = spawned - count_pruned(root) end
      if wanted[at] > maxima[at] + 0 then return string.format('%s %d %s', name, wanted[at], maxima[at]) end
    end
  end
  local payers = {session} -- what a child spends counts for every session above it
  for at = 1, #ancestor_keys, 2 do payers[#payers + 1] = ancestor_keys[at] end
  for _, payer in ipairs(payers) do
    local exceeded = find_exceeded_budget(unpack(redis.call('HMGET', payer, 'budget', 'spent')))
    if exceeded then return exceeded end
  end
  if label_number and parse_member(redis.call('HGET', root, 'member.' .. label_number)).status == 'active' then
    return 'label_in_use'
  end
end
