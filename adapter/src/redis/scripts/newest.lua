-- The newest records of one event up to an index of the log, oldest first. Erased ones are left out, and those of a form that
-- the gateway cannot read: it would show less than there is. Stands before the scripts that need it.
local function newest(log, last, event, limit)
  local found = {}
  while last >= 0 and #found < limit do
    local first = math.max(0, last - 127)
    local records = redis.call('LRANGE', log, first, last)
    for i = #records, 1, -1 do
      local record = records[i]
      local line = string.find(record, '\n', 1, true) or 0
      local erased = string.sub(record, line - 1, line - 1) == '-'
      if not erased and string.find(record, '^[12] ') and string.sub(record, line + 1, line + #event) == event then
        found[#found + 1] = record
        if #found == limit then break end
      end
    end
    last = first - 1
  end
  local ordered = {}
  for i = 1, #found do ordered[i] = found[#found + 1 - i] end
  return ordered
end
