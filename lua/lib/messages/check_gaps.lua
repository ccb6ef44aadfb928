-- Refuse a removal that leaves more gaps than a session may have.
local function check_gaps(layout)
  if #layout.gaps <= 12000 then return end
  return redis.error_reply('LIMIT_EXCEEDED gap_bytes ' .. #layout.gaps .. ' 12000 error')
end
