-- What checks ask of a stream's state. Stands before the scripts that need it.

-- Whether a check holds of a field's text, false for none.
local function holds(text, operator, expected)
  if operator == 'is' then return text == expected
  elseif operator == 'absent' then return not text
  elseif operator == 'is-not' then return text ~= expected
  else return text and true end
end

-- Tries checks (name, operator, text) of a stream's state from a place of the arguments on. Says which does not hold, or else
-- nil, and the place behind them.
local function failed_check(fields, count, at)
  if count == 0 then return nil, at end
  local names = {}
  for i = 1, count do names[i] = ARGV[at + 3 * i - 2] end
  local texts = redis.call('HMGET', fields, unpack(names))
  for i = 1, count do
    if not holds(texts[i], ARGV[at + 3 * i - 1], ARGV[at + 3 * i]) then return i, at end
  end
  return nil, at + 3 * count
end
