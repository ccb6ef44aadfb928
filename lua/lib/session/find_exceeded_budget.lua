-- Return the budget of a session that is used up as '<budget> <spent> <max>', or nil. `budget` is '<tokens> <cost>
-- <enforcement>', '-' for no limit. `spent` is '<tokens> <cost>'. A session without one of them has no budget that is used up.
local function find_exceeded_budget(budget, spent)
  if not budget or not spent then return end
  local max_tokens, max_cost = string.match(budget, '^(%S+) (%S+)')
  local tokens, cost = string.match(spent, '^(%d+) (%d+)$')
  if max_tokens ~= '-' and tokens + 0 >= max_tokens + 0 then return 'token_budget ' .. tokens .. ' ' .. max_tokens end
  if max_cost ~= '-' and cost + 0 >= max_cost + 0 then return 'cost_budget ' .. cost .. ' ' .. max_cost end
end
