-- The records with one more, without those that left the window of the last 64 operations.
local function remember(records, id, number, result)
  local start, oldest = 1, number - 64
  while true do
    local kept = string.match(records, '^\n%S+ (%d+)', start)
    if not kept or kept + 0 > oldest then break end
    start = string.find(records, '\n', start + 1, true) or #records + 1
  end
  if start > 1 then records = string.sub(records, start) end
  return string.format('%s\n%s %d %s', records, id, number, result)
end
