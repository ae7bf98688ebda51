-- Adds a gateway's share of a stream's audience, and says what the fleet has.
--
-- reads   audience: "t" viewers, "d" when the first of their leases may lapse, "p" peak, "u" unique users, "c:<name>" a counter,
--         "n:<gateway>" the number of its last share that added something · leases: viewers and expiry of each gateway ·
--         users · crowd · counts (of its sale) · meta · takers
-- writes  the first four; users is a set while they are few, crowd a HyperLogLog when they are not
-- says    epoch and steps of the sale, the time in ms, viewers, peak, unique, then name and value of each counter
--
-- The leases are added up only when one of them may have lapsed: in between, "t" changes by what a share changes. So a call
-- takes as long in a fleet of a hundred gateways as in one of two. A share that comes a second time, because its answer was
-- lost, adds nothing.
local audience, users, crowd, counts, meta, takers, leases = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local gateway, lease_ms, viewers = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local max_counters, retain_ms, exact = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local count, added, moves, number = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local function lease_of(text)
  local held, expiry = string.match(text or '', '^(%d+) (%d+)$')
  return tonumber(held or 0), tonumber(expiry or 0)
end

local counters, known = {}, 0
local has = {}
local fields = redis.call('HGETALL', audience)
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if string.sub(name, 1, 2) == 'c:' then
    counters[name] = value
    known = known + 1
  else
    has[name] = tonumber(value)
  end
end
local total, due = has.t or 0, has.d or 0
local peak, unique = has.p or 0, has.u or 0

-- Leases that lapsed go. The others are added up.
local swept = now >= due
if swept then
  total, due = 0, math.huge
  local all, gone, forgotten = redis.call('HGETALL', leases), {}, {}
  for i = 1, #all, 2 do
    local held, expiry = lease_of(all[i + 1])
    if expiry <= now then
      gone[#gone + 1] = all[i]
      if all[i] ~= gateway then forgotten[#forgotten + 1] = 'n:' .. all[i] end
    else
      total, due = total + held, math.min(due, expiry)
    end
  end
  if #gone > 0 then redis.call('HDEL', leases, unpack(gone)) end
  if #forgotten > 0 then redis.call('HDEL', audience, unpack(forgotten)) end
end

local told = 'n:' .. gateway
local again = number > 0 and has[told] == number

-- This gateway's own, and viewers of others that have come to it.
local lease = redis.call('HGET', leases, gateway)
total = total - lease_of(lease)
-- The lease says for how long the number is remembered.
if viewers > 0 or number > 0 then
  redis.call('HSET', leases, gateway, whole(viewers) .. ' ' .. whole(now + lease_ms))
  total, due = total + viewers, math.min(due, now + lease_ms)
else
  if lease then redis.call('HDEL', leases, gateway) end
  if has[told] then redis.call('HDEL', audience, told) end
end
for i = 1, again and 0 or moves do
  local at = 10 + count + 2 * added + 2 * i
  local other = ARGV[at - 1]
  local held, expiry = lease_of(other ~= gateway and redis.call('HGET', leases, other) or nil)
  local left = math.max(0, held - tonumber(ARGV[at]))
  if left < held then
    redis.call('HSET', leases, other, whole(left) .. ' ' .. whole(expiry))
    total = total - held + left
  end
end

-- Without a lease nothing lapses. The next one says when it may.
if due == math.huge then due = 0 end

local set = {}
local function change(name, value)
  if has[name] == value then return end
  set[#set + 1] = name
  set[#set + 1] = whole(value)
end
peak = math.max(peak, total)
if total > 0 or has.t then
  change('t', total)
  change('d', due)
end
if peak > 0 then change('p', peak) end
if number > 0 then change(told, number) end

local at = 10
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
  change('u', unique)
  redis.call('PEXPIRE', users, retain_ms)
  redis.call('PEXPIRE', crowd, retain_ms)
  at = at + count
end
for i = 1, again and 0 or added do
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
if swept or not lease then redis.call('PEXPIRE', leases, retain_ms) end

local epoch, steps = redis.call('HGET', meta, 'epoch') or '', redis.call('HGET', takers, 'v') or '0'
local said = { epoch, steps, whole(now), whole(total), whole(peak), whole(unique) }
for name, value in pairs(counters) do
  said[#said + 1] = string.sub(name, 3)
  said[#said + 1] = value
end
for _, word in ipairs(redis.call('HGETALL', counts)) do said[#said + 1] = word end
return said
