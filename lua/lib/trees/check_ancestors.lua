-- Return a refusal when a child may not write: its ancestors' keys are not all given (the caller then repeats the call with
-- them), its root is gone, or it or an ancestor was cancelled. Return nil when it may. The second value says that only keys are
-- missing. `lineage_text` is false for a root.
--- include: parse_lineage has_mark
local function check_ancestors(ancestor_keys, lineage_text)
  if not lineage_text then return end
  local lineage = parse_lineage(lineage_text)
  local _, count = string.gsub(lineage.ancestors, '%S+', '')
  if #ancestor_keys ~= count * 2 then return redis.error_reply('NEED_ANCESTORS ' .. lineage.ancestors), true end
  local root = ancestor_keys[#ancestor_keys - 1]
  local root_incarnation, cancelled = unpack(redis.call('HMGET', root, 'incarnation', 'cancelled'))
  if root_incarnation ~= lineage.root_incarnation or has_mark(root, cancelled, lineage.path) then
    return redis.error_reply('SESSION_NOT_ACTIVE cancelled')
  end
end
