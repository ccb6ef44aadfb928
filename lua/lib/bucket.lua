-- The field that holds the results of recent operations whose id ends in the same byte, modulo 16.
-- Sixteen short fields are cheaper to read and rewrite than one long one.
local function bucket(id)
  return 'ops.' .. string.byte(id, -1) % 16
end
