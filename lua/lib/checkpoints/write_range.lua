-- Return the range of the names of a checkpoint's pending writes. `place` is '<namespace>\n<ID>'.
local function write_range(place)
  return '[w\n' .. place .. '\n', '(w\n' .. place .. '\11'
end
