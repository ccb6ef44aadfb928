-- A tree's record of one spawned session. `on_parent_end` is c (cancel), d (detach) or r (request cancel).
local function parse_member(text)
  local id, parent, status, on_parent_end, incarnation, reference =
    string.match(text or '', '^(%S+) (%d+) (%S+) (%S) (%S+) (.*)$')
  return {
    id = id, parent = parent, status = status, on_parent_end = on_parent_end, incarnation = incarnation,
    reference = reference,
  }
end

local function format_member(member)
  return string.format('%s %s %s %s %s %s', member.id, member.parent, member.status, member.on_parent_end,
    member.incarnation, member.reference)
end
