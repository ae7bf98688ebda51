-- Adds a gateway's share of a stream's audience, and says what the fleet has.
--
-- reads   audience: "l:<gateway>" viewers and expiry, "c:<name>" a counter, "p" peak, "u" unique users · users · crowd ·
--         counts (of its sale) · meta · takers
-- writes  the first three; users is a set while they are few, crowd a HyperLogLog when they are not
-- says    epoch and steps of the sale, the time in ms, viewers, peak, unique, then name and value of each counter
local audience, users, crowd, counts, meta, takers = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local gateway, lease_ms, viewers = 'l:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local max_counters, retain_ms, exact = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local count, added, moves = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fields = redis.call('HGETALL', audience)

-- Viewers of other gateways that have come to this one.
local moved = {}
for i = 1, moves do
  local at = 9 + count + 2 * added + 2 * i
  moved['l:' .. ARGV[at - 1]] = tonumber(ARGV[at])
end

local set = {}
local counters, known, total, gone = {}, 0, 0, {}
local peak, unique = 0, 0
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  local kind = string.sub(name, 1, 2)
  if kind == 'c:' then
    counters[name] = value
    known = known + 1
  elseif kind == 'l:' then
    local held, expiry = string.match(value, '^(%d+) (%d+)$')
    if not held or tonumber(expiry) <= now then
      gone[#gone + 1] = name
    elseif name ~= gateway then
      if moved[name] then
        held = math.max(0, held - moved[name])
        set[#set + 1] = name
        set[#set + 1] = string.format('%.0f', held) .. ' ' .. expiry
      end
      total = total + held
    elseif viewers == 0 then
      gone[#gone + 1] = name
    end
  elseif name == 'p' then peak = tonumber(value)
  elseif name == 'u' then unique = tonumber(value) end
end

if viewers > 0 then
  total = total + viewers
  set[#set + 1] = gateway
  set[#set + 1] = string.format('%.0f %.0f', viewers, now + lease_ms)
end
if total > peak then
  peak = total
  set[#set + 1] = 'p'
  set[#set + 1] = string.format('%.0f', peak)
end
if #gone > 0 then redis.call('HDEL', audience, unpack(gone)) end

local at = 9
if count > 0 then
  -- A thousand at a time: Lua's stack is small.
  local function each(command, key, from, to)
    for first = from, to, 1000 do
      redis.call(command, key, unpack(ARGV, first, math.min(to, first + 999)))
    end
  end
  if redis.call('EXISTS', crowd) == 1 then
    each('PFADD', crowd, at + 1, at + count)
    unique = redis.call('PFCOUNT', crowd)
  else
    each('SADD', users, at + 1, at + count)
    unique = redis.call('SCARD', users)
    if unique > exact then
      local all = redis.call('SMEMBERS', users)
      for first = 1, #all, 1000 do
        redis.call('PFADD', crowd, unpack(all, first, math.min(#all, first + 999)))
      end
      redis.call('DEL', users)
      unique = redis.call('PFCOUNT', crowd)
    end
  end
  set[#set + 1] = 'u'
  set[#set + 1] = string.format('%.0f', unique)
  redis.call('PEXPIRE', users, retain_ms)
  redis.call('PEXPIRE', crowd, retain_ms)
  at = at + count
end
for i = 1, added do
  local name, value = 'c:' .. ARGV[at + 2 * i - 1], ARGV[at + 2 * i]
  if counters[name] or known < max_counters then
    if not counters[name] then known = known + 1 end
    -- Redis counts to 2^63, and refuses to go further.
    local sum = redis.pcall('HINCRBY', audience, name, value)
    if type(sum) == 'number' then counters[name] = redis.call('HGET', audience, name) end
  end
end
if #set > 0 then redis.call('HSET', audience, unpack(set)) end
if #set > 0 or added > 0 then redis.call('PEXPIRE', audience, retain_ms) end

local epoch, steps = redis.call('HGET', meta, 'epoch') or '', redis.call('HGET', takers, 'v') or '0'
local said = { epoch, steps, string.format('%.0f', now), string.format('%.0f', total), string.format('%.0f', peak), string.format('%.0f', unique) }
for name, value in pairs(counters) do
  said[#said + 1] = string.sub(name, 3)
  said[#said + 1] = value
end
for _, word in ipairs(redis.call('HGETALL', counts)) do said[#said + 1] = word end
return said
