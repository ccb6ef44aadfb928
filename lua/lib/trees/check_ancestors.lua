-- Return a refusal when a child may not write: its ancestors' keys are not all given, its root is gone, or it or an ancestor was
-- cancelled. `lineage_text` is false for a root.
--- include: check_ancestor_keys parse_lineage has_mark
local function check_ancestors(ancestor_keys, lineage_text)
  if not lineage_text then return end
  local refusal = check_ancestor_keys(ancestor_keys, lineage_text)
  if refusal then return refusal end
  local lineage, root = parse_lineage(lineage_text), ancestor_keys[#ancestor_keys - 1]
  local root_incarnation, cancelled = unpack(redis.call('HMGET', root, 'incarnation', 'cancelled'))
  if root_incarnation ~= lineage.root_incarnation or has_mark(root, cancelled, lineage.path) then
    return redis.error_reply('SESSION_NOT_ACTIVE cancelled')
  end
end
