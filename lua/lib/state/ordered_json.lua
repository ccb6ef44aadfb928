-- Return the JSON value that begins at a position of a text, with the keys of its objects in order, and the position behind it.
-- The text has no space between its parts, as the library writes it.
local function ordered_json(text, at)
  local first, parts = string.sub(text, at, at), {}
  if first == '"' then
    local behind = string.find(text, '["\\]', at + 1)
    while behind and string.sub(text, behind, behind) == '\\' do behind = string.find(text, '["\\]', behind + 2) end
    behind = behind or #text
    return string.sub(text, at, behind), behind + 1
  elseif first ~= '{' and first ~= '[' then
    local behind = math.max(string.match(text, '^[^,}%]]*()', at), at + 1)
    return string.sub(text, at, behind - 1), behind
  end
  local closing = first == '{' and '}' or ']'
  at = at + 1
  while at <= #text and string.sub(text, at, at) ~= closing do
    local name, part = '', nil
    if #parts > 0 then at = at + 1 end
    if first == '{' then
      name, at = ordered_json(text, at)
      at = at + 1
    end
    part, at = ordered_json(text, at)
    parts[#parts + 1] = name .. ':' .. part
  end
  if first == '{' then table.sort(parts) end
  return first .. table.concat(parts, ',') .. closing, at + 1
end
