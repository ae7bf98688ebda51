-- Appends an entry to a stream's log: number, checks, fields, log, publication, all in one step.
--
-- reads   meta (epoch, seq, bytes, day) · fields · once · pace · counts
-- writes  clock · log · meta · fields · once · pace · ledger · counts; nothing at all unless every check holds, but for what was
--         lost, see `lost`
-- says    "N", "1" for the first entry of the day or else "0", epoch, seq, clock and values · "R" and the first record of a
--         repetition · "C" and which check does not hold · "P" and how many ms are to be waited · "F": too many fields
--
-- Every key's type was tried before anything is changed: what fails, fails before.
local meta, fields, log, once, pace, counts, ledger = KEYS[1], KEYS[2], KEYS[3], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local once_ms, pace_ms = tonumber(ARGV[4]), tonumber(ARGV[19])
local max_fields, retain_ms = tonumber(ARGV[7]), ARGV[8]
local checks, sets, erasures, parts = tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local gaps, forgotten, recorded, max_records = tonumber(ARGV[20]), tonumber(ARGV[21]), ARGV[22] == '1', ARGV[24]
local to = {
  meta = meta, log = log, clock = KEYS[4],
  new_epoch = ARGV[3],
  max_entries = tonumber(ARGV[5]), max_bytes = tonumber(ARGV[6]), retain_ms = retain_ms, today = ARGV[18],
  publish = ARGV[9], channel = ARGV[10], about = ARGV[11], body = ARGV[12],
}
local at = 25

if once_ms > 0 then
  local first = redis.call('GET', once)
  if first then return 'R' .. first end
end

local has = { meta = meta, fields = fields, clock = to.clock }
local known = position_of(has, { epoch = ARGV[1], seq = ARGV[2], new_epoch = to.new_epoch })
local failed
failed, at = failed_check(fields, checks, at)
if failed then return 'C' .. failed end
if pace_ms > 0 then
  local wait = redis.call('PTTL', pace)
  if wait > 0 then return 'P' .. wait end
end

-- Changes of fields: name, how many pieces, the pieces; no pieces remove the field. Each name comes once.
local set, removed, names = {}, {}, {}
local digits = string.format('%.0f', known[1] and known[2] + 1 or 1)
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

-- Counters in gaps of the data: names, "" for none.
local values
if gaps > 0 then
  values = {}
  for i = 1, gaps do
    local name = ARGV[at + i]
    values[i] = name ~= '' and (redis.call('HGET', counts, name) or '0')
  end
  at = at + gaps
end
if forgotten > 0 then redis.call('HLEN', counts) end
if recorded then redis.call('XLEN', ledger) end

-- From here on things are written.
local entry = write_entry(to, known, values)
local erased = 0
for i = 1, erasures do
  local number = tonumber(ARGV[at + i])
  local index = number - entry.seq + entry.length - 1
  if index >= 0 and number < entry.seq then
    local old = redis.call('LINDEX', log, index)
    local head, first = string.match(old, '^(1 %S+ %d+ %d+ (%d+) %x+ )%x')
    if not head then head, first = string.match(old, '^(2 %S+ %d+ %d+ %S+ (%d+) %x+ )%x') end
    if head then
      local from = string.find(old, '\n', 1, true)
      local blank = head .. '-' .. string.sub(old, from, from + first)
      redis.call('LSET', log, index, blank)
      erased = erased + #old - #blank
    end
  end
end
at = at + erasures
if erased > 0 then redis.call('HINCRBY', meta, 'bytes', -erased) end
if #set > 0 then redis.call('HSET', fields, unpack(set)) end
if #removed > 0 then redis.call('HDEL', fields, unpack(removed)) end
if once_ms > 0 then redis.call('SET', once, entry.record, 'PX', once_ms) end
if pace_ms > 0 then redis.call('SET', pace, '', 'PX', pace_ms) end
if forgotten > 0 then
  redis.call('HDEL', counts, unpack(ARGV, at + 1, at + forgotten))
  at = at + forgotten
end
if entry.first_today then redis.call('PEXPIRE', fields, retain_ms) end
if recorded then
  local first = string.match(to.about, '^(%d+) ')
  local data = joined(pieces_of(to.body, first + 1), values or {}, entry.digits)
  redis.call('XADD', ledger, 'MAXLEN', '~', max_records, '*', 'kind', ARGV[25], 'by', ARGV[23], 'data', data)
  redis.call('PEXPIRE', ledger, retain_ms)
end
tell_peers(to, ARGV[13], entry, parts, at, values)
local said = 'N' .. (entry.first_today and '1' or '0') .. entry.epoch .. ' ' .. entry.digits .. ' ' .. string.format('%.0f', entry.clock)
if values then
  for i, text in ipairs(values) do said = said .. ' ' .. (text or '-') end
end
return said
