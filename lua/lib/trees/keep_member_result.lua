-- Keep the reason and the result of a member whose session is deleted with its end, for `children` and `join`: at most 64 KiB, else
-- without the result. The newest 1,000 members of a tree may have one.
--- include: json_quote
local function keep_member_result(root, number, reason, result)
  local head = '{"reason":' .. (reason ~= '' and json_quote(reason) or 'null') .. ',"result":'
  if result == '' or #head + #result >= 65536 then result = 'null' end
  redis.call('HSET', root, 'member_result.' .. number, head .. result .. '}')
  redis.call('HDEL', root, string.format('member_result.%d', number - 1000))
end
