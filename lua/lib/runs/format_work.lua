-- Return the work of a session as queues name it: its ID and those of its ancestors, the parent's first, behind
-- '@<priority>/<fairness key> ' unless both are the default.
local function format_work(id, ancestors, priority, fairness_key)
  local name = ancestors ~= '' and id .. ' ' .. ancestors or id
  if (priority or '0') == '0' and not fairness_key and not string.find(id, '^@%-?%d+/') then return name end
  return string.format('@%s/%s ', priority or '0', fairness_key or string.match(name, '%S+$')) .. name
end
