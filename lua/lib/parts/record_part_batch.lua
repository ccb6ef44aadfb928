-- Record the result of an operation on a part, and forget all but the last 64.
local function record_part_batch(parts, number, batches, operation, result)
  if #batches > 1000 then -- fewer bytes hold fewer than 64
    local _, count = string.gsub(batches, '\n', '')
    if count > 63 then batches = string.sub(batches, string.find(batches, '\n', 2, true)) end
  end
  redis.call('HSET', parts, 'batches.' .. number, batches .. '\n' .. operation .. ' ' .. result)
end
