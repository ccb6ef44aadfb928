-- Keep the reason and the result of a member whose session is deleted with its end, for `children` and `join`: '\2<bytes of the
-- reason> <reason><result>', at most 64 KiB, else without the result. The newest 1,000 members of a tree may have one.
local function keep_member_result(root, number, reason, result)
  if #reason + #result >= 65500 then result = '' end
  redis.call('HSET', root, 'member_result.' .. number, '\2' .. #reason .. ' ' .. reason .. result)
  redis.call('HDEL', root, string.format('member_result.%d', number - 1000))
end
