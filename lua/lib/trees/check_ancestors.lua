-- Return a refusal when a child may not write: its ancestors' keys are not all given (the caller then repeats the call with
-- them), its root is gone, or it or an ancestor was cancelled. Return nil when it may. The second value says that only keys are
-- missing. `lineage_text` is false for a root.
--- include: parse_lineage
local function check_ancestors(ancestor_keys, lineage_text)
  if not lineage_text then return end
  local lineage = parse_lineage(lineage_text)
  local _, count = string.gsub(lineage.ancestors, '%S+', '')
  if #ancestor_keys ~= count * 2 then return redis.error_reply('NEED_ANCESTORS ' .. lineage.ancestors), true end
  local root_incarnation, cancelled =
    unpack(redis.call('HMGET', ancestor_keys[#ancestor_keys - 1], 'incarnation', 'cancelled'))
  local is_cancelled = root_incarnation ~= lineage.root_incarnation
  for number in string.gmatch(cancelled or '', '%d+') do
    is_cancelled = is_cancelled or string.find(lineage.path, '/' .. number .. '/', 1, true)
  end
  if is_cancelled then return redis.error_reply('SESSION_NOT_ACTIVE cancelled') end
end
