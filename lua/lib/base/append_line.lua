-- Add a line to a list of the ledger that holds `count` lines before, in pages of 16. `list` is '<kind>.<loop ID>'.
local function append_line(ledger, list, count, line)
  local field = string.format('%s %d', list, math.floor(count / 16))
  redis.call('HSET', ledger, field, (count % 16 > 0 and redis.call('HGET', ledger, field) or '') .. line .. '\n')
end
