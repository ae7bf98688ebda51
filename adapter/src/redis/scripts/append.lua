-- Appends an entry to a stream's log: number, checks, fields, log, publication, all in one step.
--
-- reads   meta (epoch, seq, bytes, day) · fields · once
-- writes  clock · log · meta · fields · once; nothing at all unless every check holds
-- says    "N", "1" for the first entry of the day or else "0", epoch, seq and clock · "R" and the first record of a repetition ·
--         "C" and which check does not hold · "F": too many fields
--
-- A record is "1 <epoch> <seq> <clock> <what the gateway knows of the body>\n<body>": the body is never looked into here,
-- and the number that belongs between its pieces is put in by whoever reads it.
--
-- The first write is one that Redis refuses when its memory is full, and every key's type was tried before: what fails,
-- fails before anything is changed.
local meta, fields, log, clocks, once = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local seen_epoch, seen_seq, new_epoch = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local once_ms = tonumber(ARGV[4])
local max_entries, max_bytes, max_fields = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local retain_ms, publish, channel = ARGV[8], ARGV[9], ARGV[10]
local about, body, peers = ARGV[11], ARGV[12], ARGV[13]
local checks, sets, erasures, parts = tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local today = ARGV[18]
local at = 18

if once_ms > 0 then
  local first = redis.call('GET', once)
  if first then return 'R' .. first end
end

local known = redis.call('HMGET', meta, 'epoch', 'seq', 'bytes', 'day')
local epoch, seq, bytes = known[1], tonumber(known[2] or 0), tonumber(known[3] or 0)

-- Checks: name, operator, text.
if checks > 0 then
  local names = {}
  for i = 1, checks do names[i] = ARGV[at + 3 * i - 2] end
  local texts = redis.call('HMGET', fields, unpack(names))
  for i = 1, checks do
    local text, operator, expected = texts[i], ARGV[at + 3 * i - 1], ARGV[at + 3 * i]
    local holds
    if operator == 'is' then holds = text == expected
    elseif operator == 'absent' then holds = not text
    elseif operator == 'is-not' then holds = text ~= expected
    else holds = text and true end
    if not holds then return 'C' .. i end
  end
  at = at + 3 * checks
end

-- Changes of fields: name, how many pieces, the pieces; no pieces remove the field. Each name comes once.
local set, removed, names = {}, {}, {}
local digits = string.format('%.0f', seq + 1)
for i = 1, sets do
  local name, pieces = ARGV[at + 1], tonumber(ARGV[at + 2])
  names[i] = name
  if pieces == 0 then
    removed[#removed + 1] = name
  else
    set[#set + 1] = name
    set[#set + 1] = table.concat(ARGV, digits, at + 3, at + 2 + pieces)
  end
  at = at + 2 + pieces
end
if sets > 0 then
  local count = redis.call('HLEN', fields) + #set / 2
  for i, text in ipairs(redis.call('HMGET', fields, unpack(names))) do
    if text then count = count - 1 end
  end
  if count > max_fields then return 'F' end
end

-- From here on things are written.
-- Microseconds since 1970, or one more than before: it rises whatever becomes of the clock, and never names a moment twice
-- that was lost with its key.
local time = redis.call('TIME')
local clock = math.max(tonumber(redis.call('GET', clocks) or 0) + 1, time[1] * 1000000 + time[2])
redis.call('SET', clocks, string.format('%.0f', clock))
local created = not epoch
if created then
  epoch, seq, bytes = new_epoch, 0, 0
  digits = '1'
  redis.call('DEL', log)
elseif epoch == seen_epoch and seq < seen_seq then
  -- Redis has lost entries that gateways have had: from here on, the numbers name other entries.
  epoch = new_epoch
end
seq = seq + 1
local record = '1 ' .. epoch .. ' ' .. digits .. ' ' .. string.format('%.0f', clock) .. ' ' .. about .. '\n' .. body
local length = redis.call('RPUSH', log, record)
bytes = bytes + #record
while length > max_entries or (bytes > max_bytes and length > 1) do
  bytes = bytes - #redis.call('LPOP', log)
  length = length - 1
end
for i = 1, erasures do
  local number = tonumber(ARGV[at + i])
  local index = number - seq + length - 1
  if index >= 0 and number < seq then
    local old = redis.call('LINDEX', log, index)
    local head, first = string.match(old, '^(1 %S+ %d+ %d+ (%d+) %x+ )%x')
    if head then
      local from = string.find(old, '\n', 1, true)
      local blank = head .. '-' .. string.sub(old, from, from + first)
      redis.call('LSET', log, index, blank)
      bytes = bytes - #old + #blank
    end
  end
end
at = at + erasures
redis.call('HSET', meta, 'epoch', epoch, 'seq', digits, 'bytes', bytes, 'day', today)
if #set > 0 then redis.call('HSET', fields, unpack(set)) end
if #removed > 0 then redis.call('HDEL', fields, unpack(removed)) end
if once_ms > 0 then redis.call('SET', once, record, 'PX', once_ms) end
if known[4] ~= today then
  -- Once a day is often enough for what is kept for weeks.
  redis.call('PEXPIRE', meta, retain_ms)
  redis.call('PEXPIRE', fields, retain_ms)
  redis.call('PEXPIRE', log, retain_ms)
end
redis.call(publish, channel, record)

-- The same for peers that know of no log. Parts: "b" bytes, "d" the digits, "n" the number as msgpack, "t" the head of a
-- text: its length, and how many times the digits are in it.
if parts > 0 then
  local function big_endian(number, bytes)
    local out = {}
    for i = bytes, 1, -1 do
      out[i] = string.char(number % 256)
      number = math.floor(number / 256)
    end
    return table.concat(out)
  end
  local message = {}
  for i = 1, parts do
    local part = ARGV[at + i]
    local kind = string.sub(part, 1, 1)
    if kind == 'b' then message[i] = string.sub(part, 2)
    elseif kind == 'd' then message[i] = digits
    elseif kind == 'n' then message[i] = '\207' .. big_endian(seq, 8)
    else
      local fixed, times = string.match(part, '^t(%d+) (%d+)$')
      message[i] = '\219' .. big_endian(fixed + times * #digits, 4)
    end
  end
  redis.call(publish, peers, table.concat(message))
end
return 'N' .. (known[4] ~= today and '1' or '0') .. epoch .. ' ' .. digits .. ' ' .. string.format('%.0f', clock)
