-- Return the record of a free lease whose last grant had a fence.
local function free_lease(fence)
  return fence .. ' - 0 0 0 - -'
end
