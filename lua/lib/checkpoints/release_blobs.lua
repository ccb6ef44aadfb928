-- Take the names of a checkpoint from the counts of its blobs. A blob that no checkpoint names any more is removed.
local function release_blobs(values, namespace, blobs)
  for name in string.gmatch(blobs, '([^\n]*\n[^\n]*)\n') do
    local blob = namespace .. '\n' .. name
    if redis.call('HINCRBY', values, 'r\n' .. blob, -1) <= 0 then
      redis.call('HDEL', values, 'r\n' .. blob, 'b\n' .. blob)
    end
  end
end
