-- Tries checks (name, operator, text) of a stream's state from a place of the arguments on. Says which does not hold, or else
-- nil, and the place behind them. Stands before the scripts that need it.
local function failed_check(fields, count, at)
  if count == 0 then return nil, at end
  local names = {}
  for i = 1, count do names[i] = ARGV[at + 3 * i - 2] end
  local texts = redis.call('HMGET', fields, unpack(names))
  for i = 1, count do
    local text, operator, expected = texts[i], ARGV[at + 3 * i - 1], ARGV[at + 3 * i]
    local holds
    if operator == 'is' then holds = text == expected
    elseif operator == 'absent' then holds = not text
    elseif operator == 'is-not' then holds = text ~= expected
    else holds = text and true end
    if not holds then return i, at end
  end
  return nil, at + 3 * count
end
