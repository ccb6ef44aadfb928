-- Return the record of a free lease whose last grant had a fence. `nonce` is '+' while the rest of a long inbox must enter before
-- other messages, as after a lease that ran out.
local function free_lease(fence, nonce)
  return fence .. ' ' .. (nonce or '-') .. ' 0 0 0 - -'
end
