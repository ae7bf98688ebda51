-- Where the clock that orders entries stands. Stands before the scripts that need it.

-- One that is no number, or from where the next number would be the same one, was not set by appending: it begins again with
-- the time.
local function clock_at(key)
  local clock = tonumber(redis.call('GET', key) or 0)
  return clock and clock >= 0 and clock < 2 ^ 53 and clock or 0
end

