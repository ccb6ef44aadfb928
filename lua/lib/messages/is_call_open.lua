-- Return whether a tool call waits for its result, by its hash as a result has it. A result of Gemini without an ID has the hash
-- of the first call of its function, see nearest_call. The ID counts, not the tool.
local function is_call_open(layout, hash)
  for open in string.gmatch(layout or '', '(%w+):%d') do
    if (tonumber(string.sub(open, 1, 8), 16) - tonumber(string.sub(hash, 1, 8), 16)) % 4294967296 < 256 then return true end
  end
  return false
end
