-- Let the parts live 31 days longer than their session, because only writes to parts and the upkeep of the indexes extend their
-- life.
--- include: extend_ledger
local function extend_parts(session, parts, part_names)
  extend_ledger(session, parts)
  extend_ledger(session, part_names)
end
