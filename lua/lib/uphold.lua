-- Extends the lives of a child's ancestors: what is written in a child is written in them, as far as that goes.
local function uphold(family, now)
  for at = 1, #family, 2 do
    local rules = redis.call('HGET', family[at], 'rules')
    if rules then extend(family[at], family[at + 1], now, rules) end
  end
end
