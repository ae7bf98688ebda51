-- What the steps of a sale share. Stands before them. KEYS 1 to 4 are the same for all: meta, counts, ledger and takers.
--
-- counts  what the totals show
-- ledger  kind, by, data
-- takers  "#" how many claims, spins and votes there were · "v" how many steps: claims, spins, and what became of grants ·
--         "t:<pool>" units that are out · "u:…" what a user has · "p:…" how often a prize was given · "r:…" what a user's own
--         name stands for
-- grants  <id>: state ("H" held, "F" final, "R" returned), until, "1" if it was given back, quantity, left, pool, user,
--         request, text, and names and values of its worth, packed
-- holds   grants that may still come back, by the time at which they stop to stand
--
-- Times are those of Redis, in ms. Nothing here is left to chance.
local meta, counts, ledger, takers = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number) return string.format('%.0f', number) end

local function exists() return redis.call('HEXISTS', meta, 'epoch') == 1 end

-- Redis counts to 2^63, and refuses to go further.
local function count(name, value) redis.pcall('HINCRBY', counts, name, value) end

local function uncount(name, value)
  if value == '0' or redis.call('HEXISTS', counts, name) == 0 then return end
  local sum = redis.pcall('HINCRBY', counts, name, '-' .. value)
  if type(sum) == 'number' and sum < 0 then redis.call('HSET', counts, name, '0') end
end

local function record(most, kind, by, data)
  redis.call('XADD', ledger, 'MAXLEN', '~', most, '*', 'kind', kind, 'by', by, 'data', data)
end

-- A key of another kind is found out before anything is changed.
local function try_keys()
  redis.call('HLEN', counts)
  redis.call('XLEN', ledger)
  redis.call('HLEN', takers)
end

local function keep(retain_ms, ...)
  for _, key in ipairs({ counts, ledger, takers, ... }) do redis.call('PEXPIRE', key, retain_ms) end
end

-- One step more. Says the epoch, and how many there are: what gateways remember, to know it again.
local function step(epoch)
  return epoch, redis.call('HINCRBY', takers, 'v', 1)
end

-- Whether there is no room for one more.
local function is_full(most) return tonumber(redis.call('HGET', takers, '#') or 0) >= tonumber(most) end

local function said(id, grant)
  return { id, grant[7], grant[8], grant[4], grant[9], grant[5], grant[1], grant[2] }
end

-- Takes back what stopped to stand so long ago, of all pools of the stream. More than a few thousand are left for the next
-- step: everything else waits for this one.
local function sweep(grants, holds, delay_ms, most_records)
  local due = redis.call('ZRANGEBYSCORE', holds, '-inf', whole(now - delay_ms), 'LIMIT', 0, 5000)
  for _, id in ipairs(due) do
    local packed = redis.call('HGET', grants, id)
    if packed then
      local grant = cmsgpack.unpack(packed)
      local quantity, pool = grant[4], grant[6]
      redis.call('HINCRBY', takers, 't:' .. pool, '-' .. quantity)
      redis.call('HINCRBY', takers, of_user(pool, grant[7]), '-' .. quantity)
      uncount('sold.' .. pool, quantity)
      uncount('claims', '1')
      if grant[3] == '' then
        count('returned.' .. pool, 1)
        record(most_records, 'expire', 'null', grant[9])
      end
      grant[1] = 'R'
      redis.call('HSET', grants, id, cmsgpack.pack(grant))
      step()
    end
    redis.call('ZREM', holds, id)
  end
end
