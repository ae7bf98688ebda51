-- Writes an entry into a stream's log and publishes it. Stands before the scripts that append.
--
-- reads   meta (epoch, seq, bytes, day)
-- writes  clock · log · meta
--
-- A record is "1 <epoch> <seq> <clock> <what the gateway knows of the body>\n<body>": the number that belongs between the
-- pieces of the body is put in by whoever reads it. Where other values belong there, it is "2 <epoch> <seq> <clock> <values>
-- <what the gateway knows>\n<body>": values with commas between them, "-" for the number.
--
-- The first write is one that Redis refuses when its memory is full.

-- The texts of "<bytes>:<text>…", from a place of a body on.
local function pieces_of(body, from)
  local pieces = {}
  while from <= #body do
    local colon = string.find(body, ':', from, true)
    local bytes = tonumber(string.sub(body, from, colon - 1))
    pieces[#pieces + 1] = string.sub(body, colon + 1, colon + bytes)
    from = colon + bytes + 1
  end
  return pieces
end

-- The text of pieces, with the values between them; a value that is false is the digits.
local function joined(pieces, values, digits)
  local text = { pieces[1] }
  for i = 2, #pieces do
    text[#text + 1] = values[i - 1] or digits
    text[#text + 1] = pieces[i]
  end
  return table.concat(text)
end

-- Keys, a new epoch, bounds, "about" and "body" are what `to` names; `known` is epoch, seq, bytes and day of the stream.
-- Says the position, the clock, the record, how long the log is, and whether this is the first entry of the day.
local function write_entry(to, known, values)
  local epoch, seq, bytes = known[1], tonumber(known[2] or 0), tonumber(known[3] or 0)
  -- Microseconds since 1970, or one more than before: it rises whatever becomes of the clock, and never names a moment twice
  -- that was lost with its key.
  local time = redis.call('TIME')
  local clock = math.max(tonumber(redis.call('GET', to.clock) or 0) + 1, time[1] * 1000000 + time[2])
  redis.call('SET', to.clock, string.format('%.0f', clock))
  if not epoch then
    epoch, seq, bytes = to.new_epoch, 0, 0
    redis.call('DEL', to.log)
  end
  seq = seq + 1
  local digits = string.format('%.0f', seq)
  local head = epoch .. ' ' .. digits .. ' ' .. string.format('%.0f', clock) .. ' '
  local about = to.about
  if values then
    local shown = {}
    for i, text in ipairs(values) do shown[i] = text or '-' end
    head, about = '2 ' .. head, table.concat(shown, ',') .. ' ' .. about
  else
    head = '1 ' .. head
  end
  local record = head .. about .. '\n' .. to.body
  local length = redis.call('RPUSH', to.log, record)
  bytes = bytes + #record
  while length > to.max_entries or (bytes > to.max_bytes and length > 1) do
    bytes = bytes - #redis.call('LPOP', to.log)
    length = length - 1
  end
  redis.call('HSET', to.meta, 'epoch', epoch, 'seq', digits, 'bytes', bytes, 'day', to.today)
  local first_today = known[4] ~= to.today
  if first_today then
    -- Once a day is often enough for what is kept for weeks.
    redis.call('PEXPIRE', to.meta, to.retain_ms)
    redis.call('PEXPIRE', to.log, to.retain_ms)
  end
  redis.call(to.publish, to.channel, record)
  return { epoch = epoch, seq = seq, digits = digits, clock = clock, record = record, length = length, first_today = first_today }
end

-- The same for peers that know of no log: so many parts, from a place of the arguments on. "b" bytes, "d" the next value or
-- the digits, "n" the number as msgpack, "t" the head of a text: its length, and how many values are in it.
local function tell_peers(to, channel, entry, count, at, values)
  if count == 0 then return end
  local function big_endian(number, bytes)
    local out = {}
    for i = bytes, 1, -1 do
      out[i] = string.char(number % 256)
      number = math.floor(number / 256)
    end
    return table.concat(out)
  end
  local message, gap = {}, 0
  local function value(number) return values and values[number] or entry.digits end
  for i = 1, count do
    local part = ARGV[at + i]
    local kind = string.sub(part, 1, 1)
    if kind == 'b' then message[i] = string.sub(part, 2)
    elseif kind == 'd' then
      gap = gap + 1
      message[i] = value(gap)
    elseif kind == 'n' then
      gap = gap + 1
      message[i] = '\207' .. big_endian(values and values[gap] and tonumber(values[gap]) or entry.seq, 8)
    else
      local bytes, times = string.match(part, '^t(%d+) (%d+)$')
      for further = 1, times do bytes = bytes + #value(gap + further) end
      message[i] = '\219' .. big_endian(tonumber(bytes), 4)
    end
  end
  redis.call(to.publish, channel, table.concat(message))
end
