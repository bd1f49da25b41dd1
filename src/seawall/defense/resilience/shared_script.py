"""The state of shared breakers in Redis: one Lua script, so that looking, counting and probing are one atomic step.

One string a breaker, so that its expiry is set in the same command as its value. Times are whole microseconds by
Redis' own clock, below 2^53, where Lua's doubles are exact. `change` is when the state last changed and names its
generation; `order` is when an operator last spoke. The later pair (`order`, `change`) wins, wherever it was decided.
"""

from seawall.foundation.storage.redis import Script

# KEYS: one a breaker. ARGV: what the process says, as JSON (`at` is 0 for Redis' own time), then each breaker's rules.
_TEXT = """
local said = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
if said.at > 0 then now = said.at end
-- Redis may read a call long after its process gave up on it: then it does nothing.
if said.deadline > 0 and now > said.deadline then return {0, now} end

local function load(key)
  local found = redis.call('GET', key)
  local read, b = pcall(cmsgpack.unpack, found or '')
  if found and read and type(b) == 'table' and b.state then return b end
  return {state = 'closed', order = 0, change = 0, trips = 0, till = 0, floor = 0, won = 0, why = '', by = '',
    leases = {}, slots = {}}
end

local function move(b, state, why)
  b.state, b.why, b.by, b.change = state, why, said.me, math.max(now, b.change + 1)
  b.won, b.leases, b.slots = 0, {}, {}
end

local function open(b, rules, why)
  local base = math.min(rules.open_for * 2 ^ math.min(b.trips, 32), rules.max_open)
  b.trips = b.trips + 1
  b.till = math.max(now + math.floor(base * said.shorter), b.floor)
  move(b, 'open', why)
end

-- What the process believes, where it is later than what is written here, or where both say open.
local function merge(b, line)
  local view = line.view or {state = 'closed', trips = 0, left = 0, why = 'closed meanwhile', fresh = false}
  local later = line.order > b.order or (line.order == b.order and line.change > b.change)
  if not later and not (view.fresh and line.order == b.order) then return false end
  local state, why = view.state, view.why
  if state == 'half_open' then state, why = 'open', 'its probes are not known here; the next call asks anew' end
  if state == 'open' and b.state == 'open' then
    b.till, b.trips = math.max(b.till, now + view.left), math.max(b.trips, view.trips)
  elseif not later then
    return false
  else
    move(b, state, why)
    b.till, b.trips = now + view.left, view.trips
  end
  if later then
    if line.order > b.order then b.floor = 0 end
    b.order, b.change = line.order, line.change
  end
  return true
end

local function count(b, rules, new)
  local slot, slots = math.floor(now / rules.width), {}
  for _, one in ipairs(b.slots) do
    if one[1] > slot - rules.slots then slots[#slots + 1] = one end
  end
  if #slots == 0 or slots[#slots][1] < slot then slots[#slots + 1] = {slot, 0, 0, 0} end
  local newest = slots[#slots]
  for i = 1, 3 do newest[i + 1] = newest[i + 1] + new[i] end
  b.slots = slots
  local calls, failures, slow = 0, 0, 0
  for i = #slots, 1, -1 do
    calls, failures, slow = calls + slots[i][2], failures + slots[i][3], slow + slots[i][4]
    if rules.last > 0 and calls >= rules.last then break end
  end
  local text = '%.0f of %.0f calls of all processes %s (limit %.0f%%)'
  if calls < rules.minimum_calls then return end
  if failures >= rules.failure_rate * calls then
    open(b, rules, string.format(text, failures, calls, 'failed', rules.failure_rate * 100))
  elseif slow >= rules.slow_rate * calls then
    open(b, rules, string.format(text, slow, calls, 'were slow', rules.slow_rate * 100))
  end
end

-- Twice the same does nothing the second time: the lease is gone, or the generation is.
local function report(b, rules, change, lease, verdict)
  local held, current = b.leases[lease], b.state == 'half_open' and b.change == change
  b.leases[lease] = nil
  if verdict == 'ignored' or not current then return end
  if verdict ~= 'success' then
    open(b, rules, verdict == 'slow' and 'a probe was slow' or 'a probe failed')
  elseif held then
    b.won = b.won + 1
    if b.won >= rules.probes then
      b.trips = 0
      move(b, 'closed', string.format('%.0f of %.0f probes succeeded', b.won, b.won))
    end
  end
end

local function ask(b, rules, lease)
  if b.state == 'open' and now >= b.till then move(b, 'half_open', 'its open time is over') end
  if b.state ~= 'half_open' then return 0, 0 end
  local held, oldest = 0, now
  for id, since in pairs(b.leases) do
    if now - since >= rules.lease then
      b.leases[id] = nil
    else
      held, oldest = held + 1, math.min(oldest, since)
    end
  end
  if held + b.won >= rules.probes then return 0, math.min(oldest + rules.lease - now, rules.open_for) end
  b.leases[lease] = now
  return 1, 0
end

local answer = {1, now}
for i, line in ipairs(said.lines) do
  local b, granted, wait = load(KEYS[i]), 0, 0
  local believed = line.view and line.view.state or 'closed'
  local dirty = merge(b, line)
  if line.news then
    dirty = true
    local rules = cjson.decode(ARGV[i + 1])
    if line.floor then b.floor = math.max(b.floor, now + line.floor) end
    if line.count and b.state == 'closed' and b.order == line.order and b.change == line.change then
      count(b, rules, line.count)
    end
    for _, one in ipairs(line.reports or {}) do report(b, rules, one[1], one[2], one[3]) end
    if line.lease then granted, wait = ask(b, rules, line.lease) end
  end
  if dirty then
    local keep = cjson.decode(ARGV[i + 1]).keep
    -- Isolated until an operator says otherwise, or for 400 days.
    if b.state == 'isolated' then keep = 34560000000 end
    redis.call('SET', KEYS[i], cmsgpack.pack(b), 'PX', string.format('%.0f', keep))
  end
  if line.lease or b.state ~= believed or b.order ~= line.order or b.change ~= line.change then
    answer[#answer + 1] = {i - 1, b.state, b.order, b.change, b.trips, math.max(0, b.till - now), b.why, b.by,
      granted, wait}
  end
end
return answer
"""

EXCHANGE = Script(_TEXT)

# Adds the names that a process has, and gives those of all: at most 1,024, each set afresh every minute it is in use.
NAMES = Script("""
local now = redis.call('TIME')[1]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 3600)
for _, name in ipairs(ARGV) do redis.call('ZADD', KEYS[1], now, name) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1025)
redis.call('EXPIRE', KEYS[1], 3600)
return redis.call('ZRANGE', KEYS[1], 0, -1)
""")
