-- Return the template of a child's result for the format of its parent. `reports` are lines '<format> <template>', '-' for any
-- other format.
local function choose_report(reports, format)
  local name = string.gsub(format or '-', '%W', '%%%0')
  reports = '\n' .. reports
  return string.match(reports, '\n' .. name .. ' ([^\n]*)') or string.match(reports, '\n%- ([^\n]*)')
end
