-- Return a refusal when the keys of a child's ancestors are not all given: the caller then repeats the call with them.
-- `lineage_text` is false for a root.
--- include: parse_lineage
local function check_ancestor_keys(ancestor_keys, lineage_text)
  if not lineage_text then return end
  local ancestors = parse_lineage(lineage_text).ancestors
  local _, count = string.gsub(ancestors, '%S+', '')
  if #ancestor_keys ~= count * 2 then return redis.error_reply('NEED_ANCESTORS ' .. ancestors) end
end
