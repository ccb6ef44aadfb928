-- Let the parts live 31 days longer than their session, because only writes to parts and the upkeep of the indexes extend their
-- life.
--- include: expire_after_session
local function extend_parts(session, parts, part_names)
  expire_after_session(session, parts)
  expire_after_session(session, part_names)
end
