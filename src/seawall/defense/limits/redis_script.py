"""The Lua that counts in Redis: the rules of `gcra.py` and `window.py` in whole microseconds, and the epoch.

Numbers in Redis' Lua are doubles, exact up to 2^53: microseconds since 1970 stay below that for two centuries,
nanoseconds would not. Keys of a call, in order: the epoch, the receipt, the buckets; they share a hash tag and so
a slot. Every key gets a time to live.

The epoch says which memory this is. A store that lost its memory starts another; the first caller that remembers
the one before writes down when: from then on every bucket counts as wholly spent at that instant, for no one knows
what was spent of it before.
"""

from seawall.foundation.storage.redis import Script

CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
"""

_EPOCH = """
local function whole(number) return string.format('%.0f', number) end
-- A second more than needed: Redis expires by its own milliseconds.
local function keep_until(key, ends)
  redis.call('PEXPIRE', key, whole(math.max(0, math.ceil((ends - now) / 1000)) + 1000))
end

local epoch = redis.call('HMGET', KEYS[1], 'id', 'loss')
local id, loss = epoch[1], tonumber(epoch[2] or 0)
if not id then
  id = whole(now) .. '-' .. ARGV[2]
  redis.call('HSET', KEYS[1], 'id', id)
end
if ARGV[1] ~= '' and ARGV[1] ~= id and loss == 0 then
  loss = now
  redis.call('HSET', KEYS[1], 'loss', whole(loss))
end
-- 400 days, renewed when half of them are over.
if redis.call('PTTL', KEYS[1]) < 17280000000 then redis.call('PEXPIRE', KEYS[1], '34560000000') end

local function load_bucket(key, span)
  local found = redis.call('HMGET', key, 't', 's', 'g')
  local tat = tonumber(found[1] or 0)
  if loss > 0 then tat = math.max(tat, loss + span) end
  if tat <= now then return {tat = now, since = now, given = 0} end
  return {tat = tat, since = tonumber(found[2] or whole(now)), given = tonumber(found[3] or 0)}
end

local function store_bucket(key, bucket)
  redis.call('HSET', key, 't', whole(bucket.tat), 's', whole(bucket.since), 'g', whole(bucket.given))
  keep_until(key, bucket.tat)
end

local function load_log(key, slices, width, limit)
  local current = math.floor(now / width)
  local log = {used = 0, slot = 0, added = 0, slots = {}, stale = {}}
  local found = redis.call('HGETALL', key)
  for i = 1, #found, 2 do
    local slot, units = tonumber(found[i]), tonumber(found[i + 1])
    if current - slot > slices then
      log.stale[#log.stale + 1] = found[i]
    else
      log.used = log.used + units
      log.slot = math.max(log.slot, slot)
      log.slots[#log.slots + 1] = {slot, units}
    end
  end
  if loss > 0 and current - math.floor(loss / width) <= slices then
    log.used = log.used + limit
    log.slots[#log.slots + 1] = {math.floor(loss / width), limit}
    log.slot = math.max(log.slot, math.floor(loss / width))
  end
  log.current = math.max(current, log.slot)
  return log
end

local function add_to_log(log, units)
  log.slot = log.current
  log.used = log.used + units
  log.added = log.added + units
  log.slots[#log.slots + 1] = {log.slot, units}
end

local function store_log(key, log, slices, width)
  if #log.stale > 0 then redis.call('HDEL', key, unpack(log.stale)) end
  redis.call('HINCRBY', key, whole(log.slot), whole(log.added))
  keep_until(key, (log.slot + slices + 1) * width)
end
"""

_TAKE = """
local function free_at(log, excess, slices, width)
  table.sort(log.slots, function(a, b) return a[1] < b[1] end)
  for _, pair in ipairs(log.slots) do
    excess = excess - pair[2]
    if excess <= 0 then return (pair[1] + slices + 1) * width end
  end
  return 0
end

local states, answer, all = {}, {1, now, id}, true
for i = 3, #KEYS do
  local key, at = KEYS[i], 4 + (i - 3) * 4
  local slices, cost = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local limit, width = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local state, fits = states[key], nil
  if slices == 0 then
    state = state or load_bucket(key, limit)
    fits = cost == 0 or state.tat + cost <= now + limit
    if fits then state.tat = state.tat + cost end
    answer[#answer + 1] = fits and 1 or 0
    answer[#answer + 1] = state.tat
    answer[#answer + 1] = state.since
    answer[#answer + 1] = state.given
  else
    state = state or load_log(key, slices, width, limit)
    fits = cost == 0 or state.used + cost <= limit
    if fits and cost > 0 then add_to_log(state, cost) end
    answer[#answer + 1] = fits and 1 or 0
    answer[#answer + 1] = state.used
    answer[#answer + 1] = state.slot
    answer[#answer + 1] = fits and 0 or free_at(state, state.used + cost - limit, slices, width)
  end
  state.slices, state.width, state.changed = slices, width, state.changed or cost > 0
  states[key] = state
  all = all and fits
end
if not all then
  answer[1] = 0
  return answer
end
for key, state in pairs(states) do
  if state.changed and state.slices == 0 then store_bucket(key, state) end
  if state.changed and state.slices > 0 then store_log(key, state, state.slices, state.width) end
end
if ARGV[3] ~= '0' then redis.call('SET', KEYS[2], '1', 'PX', ARGV[3]) end
return answer
"""

_SETTLE = """
-- The receipt is there until it is settled or too old: a second settlement finds none.
if redis.call('DEL', KEYS[2]) == 0 then return 0 end
for i = 3, #KEYS do
  local key, at = KEYS[i], 3 + (i - 3) * 6
  local slices, spare = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local limit, width = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local mark, ends = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  if slices == 0 and spare < 0 then
    local bucket = load_bucket(key, limit)
    bucket.tat = bucket.tat - spare
    store_bucket(key, bucket)
  elseif slices == 0 then
    local bucket = load_bucket(key, limit)
    local back = math.min(spare, ends - bucket.given - now)
    -- What was given back stays far below 2^53; past that a busy bucket gives nothing back until it is idle.
    if bucket.since == mark and back > 0 and bucket.given + back < 1e15 then
      bucket.tat, bucket.given = bucket.tat - back, bucket.given + back
      store_bucket(key, bucket)
    end
  elseif spare < 0 then
    local log = load_log(key, slices, width, limit)
    add_to_log(log, -spare)
    store_log(key, log, slices, width)
  elseif spare > 0 then
    local units = tonumber(redis.call('HGET', key, whole(mark)) or 0)
    if units > spare then
      redis.call('HINCRBY', key, whole(mark), whole(-spare))
    elseif units > 0 then
      redis.call('HDEL', key, whole(mark))
    end
  end
end
return 1
"""

TAKE = Script(CLOCK + _EPOCH + _TAKE)
SETTLE = Script(CLOCK + _EPOCH + _SETTLE)
