-- Appends entries to a stream's log, one after the other: number, checks, fields, log, publication, all in one step.
--
-- told    after what is said of the stream, for each entry what the gateway knows of its body, the body, and what else belongs
--         to it behind a word for each: see `read_entry`. Keys of `once`, `pace` and `anew` in the order of these words.
-- reads   meta (epoch, seq, bytes, day) · fields · once · pace · counts · audience
-- writes  clock · log · meta · fields · once · pace · ledger · counts · audience · users · crowd; nothing of an entry that is
--         refused, but for what was lost, see `lost`
-- says    epoch, "1" for the first entry of the day or else "0", and of each entry "N", seq, clock and values · "R" and the
--         first record of a repetition · "C" and which check does not hold · "P" and how many ms are to be waited · "F": too
--         many fields
--
-- Every key's type is tried before anything is changed: what fails, fails before.
local meta, fields, counts, ledger = KEYS[1], KEYS[2], KEYS[5], KEYS[6]
local to = {
  meta = meta, log = KEYS[3], clock = KEYS[4],
  new_epoch = ARGV[3],
  max_entries = tonumber(ARGV[4]), max_bytes = tonumber(ARGV[5]), retain_ms = ARGV[6], today = ARGV[7],
  publish = ARGV[8], channel = ARGV[9],
}
local peers, max_fields, max_records, count = ARGV[10], tonumber(ARGV[11]), ARGV[12], tonumber(ARGV[13])

local keys, once_keys, checked = 6, {}, {}
-- Whether anything is to be done with fields, counters, ledger and audience.
local changes, counted, recorded, audience

-- What is said of an entry, up to the ".", and the place behind it.
local function read_entry(at)
  local entry = { about = ARGV[at], body = ARGV[at + 1], checks = {}, sets = {}, erase = {}, forget = {}, parts = {} }
  at = at + 2
  while true do
    local word = ARGV[at]
    if word == '.' then return entry, at + 1 end
    if word == 'once' then
      -- For so many ms a repetition is known by the key.
      keys = keys + 1
      entry.once, entry.once_ms = KEYS[keys], ARGV[at + 1]
      once_keys[#once_keys + 1] = entry.once
      at = at + 2
    elseif word == 'check' then
      local name = ARGV[at + 1]
      entry.checks[#entry.checks + 1] = { name = name, operator = ARGV[at + 2], expected = ARGV[at + 3] }
      checked[name] = true
      at = at + 4
    elseif word == 'record' then
      -- The ledger gets it as well: by whom, and the event.
      entry.by, entry.event, recorded = ARGV[at + 1], ARGV[at + 2], true
      at = at + 3
    elseif word == 'set' then
      -- A field: its name, how many pieces, the pieces; no pieces remove it. Each name comes once.
      local name, pieces = ARGV[at + 1], tonumber(ARGV[at + 2])
      entry.sets[#entry.sets + 1] = { name = name, from = at + 3, to = at + 2 + pieces }
      checked[name], changes = true, true
      at = at + 3 + pieces
    elseif word == 'part' then
      entry.parts[#entry.parts + 1] = ARGV[at + 1]
      at = at + 2
    elseif word == 'pace' then
      -- The key keeps appends so many ms apart.
      keys = keys + 1
      entry.pace, entry.pace_ms = KEYS[keys], ARGV[at + 1]
      at = at + 2
    elseif word == 'anew' then
      -- The audience is counted from nothing.
      entry.audience, entry.users, entry.crowd = KEYS[keys + 1], KEYS[keys + 2], KEYS[keys + 3]
      keys, audience = keys + 3, entry.audience
      at = at + 1
    elseif word == 'fill' then
      -- The counter that belongs into the next gap of the data, "": none.
      entry.fill, counted = entry.fill or {}, true
      entry.fill[#entry.fill + 1] = ARGV[at + 1]
      at = at + 2
    elseif word == 'forget' then
      entry.forget[#entry.forget + 1], counted = ARGV[at + 1], true
      at = at + 2
    elseif word == 'erase' then
      entry.erase[#entry.erase + 1] = tonumber(ARGV[at + 1])
      at = at + 2
    else
      error('an append is not told like this: ' .. tostring(word))
    end
  end
end

local entries, at = {}, 14
for i = 1, count do entries[i], at = read_entry(at) end

local has = { meta = meta, fields = fields, clock = to.clock }
local known = position_of(has, { epoch = ARGV[1], seq = ARGV[2], new_epoch = to.new_epoch })
local log = open_log(to, known)
-- Texts of the fields that matter here, false for none; and how many fields there are.
local texts, held = {}, 0
local names = {}
for name in pairs(checked) do names[#names + 1] = name end
if #names > 0 then
  for i, text in ipairs(redis.call('HMGET', fields, unpack(names))) do texts[names[i]] = text end
end
if changes then held = redis.call('HLEN', fields) end
if counted then redis.call('HLEN', counts) end
if recorded then redis.call('XLEN', ledger) end
if audience then redis.call('HLEN', audience) end
-- The first records of repetitions; those of this step join them.
local firsts = {}
for _, key in ipairs(once_keys) do firsts[key] = redis.call('GET', key) end

-- What keeps an entry from being appended, or nil.
local function refusal(entry)
  local first = entry.once and firsts[entry.once]
  if first then return 'R' .. first end
  for i, check in ipairs(entry.checks) do
    if not holds(texts[check.name], check.operator, check.expected) then return 'C' .. i end
  end
  local wait = entry.pace and redis.call('PTTL', entry.pace) or 0
  if wait > 0 then return 'P' .. wait end
  if #entry.sets > 0 then
    local more = held
    for _, set in ipairs(entry.sets) do
      local is, will = texts[set.name] and 1 or 0, set.to >= set.from and 1 or 0
      more = more + will - is
    end
    if more > max_fields then return 'F' end
  end
end

local function change_fields(entry, digits)
  local set, removed = {}, {}
  for _, one in ipairs(entry.sets) do
    if texts[one.name] then held = held - 1 end
    if one.to < one.from then
      texts[one.name] = false
      removed[#removed + 1] = one.name
    else
      held = held + 1
      texts[one.name] = table.concat(ARGV, digits, one.from, one.to)
      set[#set + 1] = one.name
      set[#set + 1] = texts[one.name]
    end
  end
  if #set > 0 then redis.call('HSET', fields, unpack(set)) end
  if #removed > 0 then redis.call('HDEL', fields, unpack(removed)) end
end

-- Blanks what lies in the log.
local function erase(numbers)
  close_log(log)
  local erased = 0
  for _, number in ipairs(numbers) do
    local index = number - log.seq + log.length - 1
    if index >= 0 and number < log.seq then
      local old = redis.call('LINDEX', log.to.log, index)
      local head, first = string.match(old, '^(1 %S+ %d+ %d+ (%d+) %x+ )%x')
      if not head then head, first = string.match(old, '^(2 %S+ %d+ %d+ %S+ (%d+) %x+ )%x') end
      if head then
        local from = string.find(old, '\n', 1, true)
        local blank = head .. '-' .. string.sub(old, from, from + first)
        redis.call('LSET', log.to.log, index, blank)
        erased = erased + #old - #blank
      end
    end
  end
  if erased > 0 then log.bytes = redis.call('HINCRBY', meta, 'bytes', -erased) end
end

-- Whoever is there is there: the sum of the leases stays, and what gateways have told.
local function count_anew(entry)
  local all = redis.call('HGETALL', entry.audience)
  for i = 1, #all, 2 do
    if all[i] ~= 't' and all[i] ~= 'd' and string.sub(all[i], 1, 2) ~= 'n:' then redis.call('HDEL', entry.audience, all[i]) end
  end
  redis.call('DEL', entry.users, entry.crowd)
end

local function append(entry)
  local values
  if entry.fill then
    values = {}
    for i, name in ipairs(entry.fill) do values[i] = name ~= '' and (redis.call('HGET', counts, name) or '0') end
  end
  -- From here on things are written.
  local written = write_entry(log, entry.about, entry.body, values)
  change_fields(entry, written.digits)
  if #entry.erase > 0 then erase(entry.erase) end
  if entry.once then
    firsts[entry.once] = written.record
    redis.call('SET', entry.once, written.record, 'PX', entry.once_ms)
  end
  if entry.pace then redis.call('SET', entry.pace, '', 'PX', entry.pace_ms) end
  if #entry.forget > 0 then redis.call('HDEL', counts, unpack(entry.forget)) end
  if entry.audience then count_anew(entry) end
  if entry.by then
    local first = string.match(entry.about, '^(%d+) ')
    local data = joined(pieces_of(entry.body, first + 1), values or {}, written.digits)
    redis.call('XADD', ledger, 'MAXLEN', '~', max_records, '*', 'kind', entry.event, 'by', entry.by, 'data', data)
  end
  if #entry.parts > 0 then tell_peers(to, peers, written, entry.parts, values) end
  local said = 'N' .. written.digits .. ' ' .. written.clock
  for i, text in ipairs(values or {}) do said = said .. ' ' .. (text or '-') end
  return said
end

local answers, appended = {}, false
for i, entry in ipairs(entries) do
  local refused = refusal(entry)
  appended = appended or not refused
  answers[i + 2] = refused or append(entry)
end
close_log(log)
if appended then
  if log.first_today then redis.call('PEXPIRE', fields, to.retain_ms) end
  if recorded then redis.call('PEXPIRE', ledger, to.retain_ms) end
end
answers[1], answers[2] = log.epoch, appended and log.first_today and '1' or '0'
return answers
