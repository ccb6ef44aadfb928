-- Return whether a tool call waits for its result, by its hash as a result has it. A result of Gemini without an ID has the hash
-- of the first call of its function, see nearest_call. A call with an ID has the hash of its function behind it.
local function is_call_open(layout, hash)
  for open in string.gmatch(layout or '', '(%w+):%d') do
    local id, name = string.sub(hash, 1, 8), string.sub(hash, -8)
    local ahead = (tonumber(string.sub(open, -8), 16) - tonumber(name, 16)) % 4294967296
    if string.sub(open, 1, 8) == id or (ahead < 256 and (#open < 16 or id == name)) then return true end
  end
  return false
end
