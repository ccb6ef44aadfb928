-- Return the names of a checkpoint's blobs ('<channel>\n<version>\n' each), and its label.
local function split_checkpoint(record)
  local _, head, blobs, label = string.find(record, '^(%d+) (%d+) [^\n]*\n')
  return string.sub(record, head + 1, head + blobs), string.sub(record, head + blobs + 1, head + blobs + label)
end
