-- The budget ('tokens cost holds', '-' for none) that is spent ('tokens cost'), as 'token_budget 30 20', if it holds for appends.
local function overspent(budget, spent)
  local tokens, cost, holds = string.match(budget or '', '^(%S+) (%S+) (%S+)')
  if holds ~= 'append' or not spent then return end
  local tokens_spent, cost_spent = string.match(spent, '(%d+) (%d+)')
  if tokens ~= '-' and tokens_spent + 0 >= tokens + 0 then return 'token_budget ' .. tokens_spent .. ' ' .. tokens end
  if cost ~= '-' and cost_spent + 0 >= cost + 0 then return 'cost_budget ' .. cost_spent .. ' ' .. cost end
end
