-- The place of a session in its tree. A root stores none: its number is 0 and it has no ancestors.
-- `path` is '/0/3/7/', the numbers from the root to the session. `ancestors` are IDs, the parent's first.
local function parse_lineage(text)
  if not text then return {number = '0', path = '/0/', ancestors = ''} end
  local number, root_incarnation, path, id, ancestors = string.match(text, '^(%d+) (%S+) (%S+) (%S+) (.*)$')
  return {number = number, root_incarnation = root_incarnation, path = path, id = id, ancestors = ancestors}
end

local function format_lineage(lineage)
  return string.format('%s %s %s %s %s', lineage.number, lineage.root_incarnation, lineage.path, lineage.id,
    lineage.ancestors)
end
