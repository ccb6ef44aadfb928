-- Record a new child in its tree, with the counts that include it, its label, and other fields of the root.
--- include: format_spawn_counts format_member
local function record_spawn(session, root, child_counts, tree_counts, number, member, label, root_fields)
  redis.call('HSET', session, 'children', format_spawn_counts(child_counts))
  redis.call('HSET', root, 'tree', format_spawn_counts(tree_counts), 'member.' .. number, format_member(member), unpack(root_fields))
  if label ~= '' then redis.call('HSET', root, 'label.' .. label, number) end
end
