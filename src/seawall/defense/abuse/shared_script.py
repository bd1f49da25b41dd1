"""The same arithmetic for Redis: one Lua script, so that looking and charging are one atomic step of all processes.

It mirrors `steps.py` and `book.py`; a test holds both to the same answers. Numbers stay below 2^53, where Lua's are
exact. An account is one string, so that its expiry is set in the same command as its value.
"""

from seawall.defense.abuse.policy import Abuse, milliseconds
from seawall.defense.abuse.steps import GRACE, LONGEST_OVERRIDE, Rungs
from seawall.foundation.storage.redis import Script

# KEYS: subject, tenant, who of the tenant was seen lately, then bands. ARGV: what to do, the time in ms or 0 for
# Redis' own, the subject's digest, what this process holds of both accounts ('' for nothing), then what it takes.
_TEXT = """
local SUBJECT, TENANT = {subject}, {tenant}
local GRACE, LONGEST = {grace}, {longest}

local what, now, me = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Nearly every request: a caller that nobody holds anything against.
if what == 'look' and ARGV[4] == '' and ARGV[5] == '' then
  local both = redis.call('MGET', KEYS[1], KEYS[2])
  if not both[1] and not both[2] then return {{string.format('%.0f', now)}} end
end

local function parse(text)
  if not text or text == '' then return nil end
  local debt, till, step, force, force_till, epoch = string.match(text, '(%d+):(%d+):(%d+):(%d+):(%d+):(%d+)')
  return {{debt = tonumber(debt), till = tonumber(till), step = tonumber(step), force = tonumber(force),
    force_till = tonumber(force_till), epoch = tonumber(epoch)}}
end

local function show(a)
  return string.format('%.0f:%.0f:%.0f:%.0f:%.0f:%.0f', a.debt, a.till, a.step, a.force, a.force_till, a.epoch)
end

local function forced(a)
  if now < a.force_till then return a.force end
  return 0
end

local function owed(a, rungs)
  return math.max(0, math.ceil((a.debt - math.max(now, a.till)) / rungs.regain))
end

local function step_of(a, rungs)
  local order = forced(a)
  if order == 1 then return 0 elseif order == 2 then return 3 end
  local count = owed(a, rungs)
  if a.till > now then
    if count >= rungs.ban_after then return 3 end
    return 2
  end
  if count >= rungs.watch then return 1 end
  return 0
end

local function charge(a, rungs, hits, ceiling)
  if hits == 0 or forced(a) == 1 then return false end
  local before = math.max(0, a.debt - math.max(now, a.till))
  local after = math.max(before, math.min(before + hits * rungs.regain, ceiling * rungs.regain))
  if after == before and ceiling < rungs.ban_after then return true end
  local count = math.ceil(after / rungs.regain)
  if count >= rungs.ban_after then
    a.till = math.max(a.till, now + rungs.ban)
  elseif count >= rungs.hits then
    a.till = math.max(a.till, now + math.min(rungs.cool_down * 2 ^ (count - rungs.hits), rungs.longest_cool_down))
  end
  a.debt = math.max(now, a.till) + after
  return true
end

-- An account as Redis holds it, joined with what the asking process saw while Redis could not be asked.
local function open(key, claim, rungs)
  local a = parse(redis.call('GET', key))
  local mine = parse(claim)
  local dirty = false
  if mine and (not a or mine.epoch > a.epoch) then
    a, dirty = mine, true
  elseif mine and mine.epoch == a.epoch and (mine.debt > a.debt or mine.till > a.till) then
    a.debt, a.till = math.max(a.debt, mine.debt), math.max(a.till, mine.till)
    a.step, dirty = mine.step, true
  elseif mine and mine.epoch == a.epoch and mine.step ~= a.step and mine.step == step_of(a, rungs) then
    -- The process told this while it was alone; it need not be told again.
    a.step, dirty = mine.step, true
  end
  a = a or {{debt = 0, till = 0, step = 0, force = 0, force_till = 0, epoch = 0}}
  return {{key = key, account = a, rungs = rungs, dirty = dirty, before = a.step, meanwhile = step_of(a, rungs)}}
end

local answer = {{string.format('%.0f', now)}}
local function close(held, scope, digest)
  local a = held.account
  local step = step_of(a, held.rungs)
  if held.dirty or a.step ~= step then
    a.step = step
    local remembered = 0
    if a.epoch > 0 then remembered = a.epoch + LONGEST end
    local left = math.max(a.debt, a.till, a.force_till, remembered) + GRACE - now
    if left > 0 then redis.call('SET', held.key, show(a), 'PX', string.format('%.0f', left)) end
  end
  answer[#answer + 1] = {{scope, digest, held.before, held.meanwhile, show(a)}}
end

local function sighted(key, window, most)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - window))
  local before = redis.call('ZCARD', key)
  redis.call('ZADD', key, string.format('%.0f', now), me)
  redis.call('ZREMRANGEBYRANK', key, 0, -most - 1)
  redis.call('PEXPIRE', key, window)
  return before, redis.call('ZCARD', key)
end

local subject, tenant = open(KEYS[1], ARGV[4], SUBJECT), open(KEYS[2], ARGV[5], TENANT)

if what == 'force' then
  -- The other scope is left as it is: what time did to it is told when it is looked at.
  local held = (ARGV[6] == 'subject') and subject or tenant
  local a, order = held.account, tonumber(ARGV[7])
  if order == 1 then a.debt, a.till = 0, 0 end
  a.force, a.force_till, a.epoch = order, now + tonumber(ARGV[8]), math.max(now, a.epoch + 1)
  held.dirty = true
  close(held, ARGV[6], me)
  return answer
end

local fellows = {{}}
if what == 'spend' then
  local hits, prefix = tonumber(ARGV[6]), ARGV[7]
  local known = false
  for band = 4, #KEYS do
    local before, after = sighted(KEYS[band], {fingerprint_window}, {fingerprint_subjects})
    if after >= {fingerprint_subjects} then
      known = true
      if before < {fingerprint_subjects} then
        for _, one in ipairs(redis.call('ZRANGE', KEYS[band], 0, -1)) do fellows[one] = true end
      end
    end
  end
  if forced(tenant.account) == 1 then known, fellows = false, {{}} end
  fellows[me] = nil
  local owed_before = owed(subject.account, SUBJECT)
  local cost = hits
  if known then cost = hits * {fingerprint_cost} end
  local charged = charge(subject.account, SUBJECT, cost, SUBJECT.ban_after)
  subject.dirty = subject.dirty or charged
  local share = 0
  if charged then share = math.min(hits, math.max(0, SUBJECT.hits - owed_before)) end
  local _, several = sighted(KEYS[3], {tenant_window}, {tenant_subjects})
  local ceiling = TENANT.watch - 1
  if several >= {tenant_subjects} then ceiling = TENANT.ban_after end
  tenant.dirty = charge(tenant.account, TENANT, share, ceiling) or tenant.dirty
  close(subject, 'subject', me)
  close(tenant, 'tenant', '')
  for one, _ in pairs(fellows) do
    local held = open(prefix .. one, '', SUBJECT)
    held.dirty = charge(held.account, SUBJECT, {fingerprint_cost} - 1, SUBJECT.ban_after)
    close(held, 'subject', one)
  end
  return answer
end

if what == 'peek' then
  answer[2] = {{'subject', me, 0, 0, show(subject.account)}}
  answer[3] = {{'tenant', '', 0, 0, show(tenant.account)}}
  return answer
end

close(subject, 'subject', me)
close(tenant, 'tenant', '')
return answer
"""


def trust_script(policy: Abuse) -> Script:
    """Write the script for one policy: its numbers are whole and checked, and are part of the text."""
    return Script(
        _TEXT.format(
            subject=_table(policy.subject.rungs),
            tenant=_table(policy.tenant.rungs),
            grace=GRACE,
            longest=LONGEST_OVERRIDE,
            tenant_window=milliseconds(policy.tenant_window),
            tenant_subjects=policy.tenant_subjects,
            fingerprint_window=milliseconds(policy.fingerprint_window),
            fingerprint_subjects=policy.fingerprint_subjects,
            fingerprint_cost=policy.fingerprint_cost,
        )
    )


def _table(rungs: Rungs) -> str:
    numbers = ", ".join(f"{name} = {int(value)}" for name, value in rungs._asdict().items())
    return f"{{{numbers}}}"
