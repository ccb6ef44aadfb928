-- Count one checkpoint more, or less, that has a label. A label without checkpoints leaves nothing behind.
local function count_label(values, label, change)
  if label == '' then return end
  local field = 'l\n' .. label
  if redis.call('HINCRBY', values, field, change) <= 0 then redis.call('HDEL', values, field) end
end
