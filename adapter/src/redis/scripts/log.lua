-- Writes entries into a stream's log and publishes them. Stands before the scripts that append.
--
-- reads   log · clock
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

-- A log that entries can be written to. Keys, a new epoch, bounds and the channel are what `to` names; `known` is epoch, seq,
-- bytes and day of the stream.
local function open_log(to, known)
  redis.call('LLEN', to.log)
  local before = clock_at(to.clock)
  local seq = tonumber(known[2] or 0)
  -- From 2^53 on the next number would be the same one.
  if not seq or not (seq >= 0 and seq < 2 ^ 53 and seq % 1 == 0) then error('the last number of the stream is none') end
  return {
    to = to, epoch = known[1] or to.new_epoch, is_new = not known[1],
    seq = seq, bytes = tonumber(known[3] or 0), first_today = known[4] ~= to.today,
    before = before, clock = nil, written = nil, length = nil, records = {},
  }
end

-- The next entry: number, digits, clock and record. The log has it after `close_log`.
local function write_entry(log, about, body, values)
  if not log.clock then
    -- Microseconds since 1970, or one more than before: it rises whatever becomes of the clock, and never names a moment twice
    -- that was lost with its key.
    local time = redis.call('TIME')
    log.clock = math.max(log.before + 1, time[1] * 1000000 + time[2])
    log.written = log.clock
    redis.call('SET', log.to.clock, string.format('%.0f', log.clock))
    if log.is_new then redis.call('DEL', log.to.log) end
  else
    log.clock = log.clock + 1
  end
  log.seq = log.seq + 1
  local digits, clock = string.format('%.0f', log.seq), string.format('%.0f', log.clock)
  local form = '1 '
  if values then
    local shown = {}
    for i, text in ipairs(values) do shown[i] = text or '-' end
    form, about = '2 ', table.concat(shown, ',') .. ' ' .. about
  end
  local record = form .. log.epoch .. ' ' .. digits .. ' ' .. clock .. ' ' .. about .. '\n' .. body
  log.bytes = log.bytes + #record
  log.records[#log.records + 1] = record
  return { seq = log.seq, digits = digits, clock = clock, record = record }
end

-- Makes what was written be there, and tells of it.
local function close_log(log)
  local to, records = log.to, log.records
  if #records == 0 then return end
  if log.clock > log.written then
    redis.call('SET', to.clock, string.format('%.0f', log.clock))
    log.written = log.clock
  end
  log.length = redis.call('RPUSH', to.log, unpack(records))
  local over = log.length - to.max_entries
  while over > 0 or (log.bytes > to.max_bytes and log.length > 1) do
    for _, old in ipairs(redis.call('LPOP', to.log, math.max(over, 1))) do
      log.bytes, log.length, over = log.bytes - #old, log.length - 1, over - 1
    end
  end
  redis.call('HSET', to.meta, 'epoch', log.epoch, 'seq', string.format('%.0f', log.seq), 'bytes', log.bytes, 'day', to.today)
  if log.first_today then
    -- Once a day is often enough for what is kept for weeks.
    redis.call('PEXPIRE', to.meta, to.retain_ms)
    redis.call('PEXPIRE', to.log, to.retain_ms)
  end
  for _, record in ipairs(records) do redis.call(to.publish, to.channel, record) end
  log.records = {}
end

-- Tells peers that know of no log, in so many parts: "b" bytes, "d" the next value or the digits, "n" the number as msgpack,
-- "t" the head of a text: its length, and how many values are in it.
local function tell_peers(to, channel, entry, parts, values)
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
  for i, part in ipairs(parts) do
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
