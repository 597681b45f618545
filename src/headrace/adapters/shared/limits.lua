-- One step of the book that policy/leases.py describes, in Redis: the same arithmetic, the server's
-- clock. KEYS: one hash for each scope, then the hash of marks. ARGV: the message; the constants; and
-- in tests alone the time. Numbers go back as texts, since cjson rounds large ones.
local message, const = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
local time = redis.call('TIME')
local clock = tonumber(ARGV[3]) or tonumber(time[1]) * 1e6 + tonumber(time[2])
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local key

local function text(number) return string.format('%.17g', number) end
local function get(name) return tonumber(redis.call('HGET', key, name) or nil) or 0 end
local function set(name, number) redis.call('HSET', key, name, text(number)) end
local fields = { 'now', 'low', 'total', 'free_at', 'credit' }

local function load(entry)
  local names = {}
  for index, field in ipairs(fields) do names[index] = entry.name .. '/' .. field end
  local found = redis.call('HMGET', key, unpack(names))
  for index, field in ipairs(fields) do entry[field] = tonumber(found[index] or nil) or 0 end
end

local function save(entry)
  local pairs = {}
  for _, field in ipairs(fields) do
    pairs[#pairs + 1] = entry.name .. '/' .. field
    pairs[#pairs + 1] = text(entry[field])
  end
  redis.call('HSET', key, unpack(pairs))
end

local function place(entry, slot) return entry.name .. '/slot/' .. string.format('%.0f', slot) end

local function add(entry, slot, amount)
  set(place(entry, slot), get(place(entry, slot)) + amount)
  entry.total = entry.total + amount
end

local function forget(entry, upto)
  -- However long it was silent: there are no slots beyond these.
  for slot = entry.low, min(upto - 1, entry.low + const.slots + 64) do
    entry.total = entry.total - get(place(entry, slot))
    redis.call('HDEL', key, place(entry, slot))
  end
end

local function advance(entry)
  if clock < entry.now - const.stumble then
    local total = entry.total
    forget(entry, entry.low + const.slots + 64)
    entry.total = 0
    add(entry, floor(clock / entry.slot), total)
    entry.free_at = clock + max(0, entry.free_at - entry.now)
    entry.now = clock
  else
    entry.now = max(entry.now, clock)
    forget(entry, floor(entry.now / entry.slot) - const.slots + 1)
  end
  entry.low = floor(entry.now / entry.slot) - const.slots + 1
end

local function take_back(entry)
  for _, pair in ipairs(entry.ask.returned) do
    local amount = min(pair[2], get(place(entry, pair[1])))
    if amount > 0 then
      add(entry, pair[1], -amount)
      local back = min(amount, max(0, entry.free_at - entry.now) * entry.rate)
      entry.free_at = entry.free_at - back / entry.rate
      local most = max(entry.burst, entry.rate * const.second)
      entry.credit = min(entry.credit + (amount - back), most)
    end
  end
end

local function count(entry, amount, delay)
  local stamp = floor((entry.now + delay) / entry.slot)
  add(entry, stamp, amount)
  local drawn = min(entry.credit, amount)
  entry.credit = entry.credit - drawn
  entry.free_at = max(entry.now, entry.free_at) + (amount - drawn) / entry.rate
  return stamp
end

local function ahead(entry)
  return entry.paced and max(0, ceil(entry.free_at - entry.now)) or 0
end

local function opened(ask)
  local entry = { ask = ask, name = ask.limit, paced = ask.interval <= const.minute }
  load(entry)
  entry.slot = floor((ask.interval + const.life + const.jitter) / (const.slots - 1))
  entry.rate = ask.amount / (entry.slot * const.slots)
  entry.burst = max(1, floor(entry.rate * const.second / 10))
  advance(entry)
  take_back(entry)
  if ask.owed > 0 then count(entry, ask.owed, 0) end
  return entry
end

local function wait_of(entry)
  local ask = entry.ask
  if ask.need == 0 then return 0 end
  local excess = entry.total + min(ask.need, ask.amount) - ask.amount
  return max(excess > 0 and const.again or 0, min(ahead(entry) - const.ahead, const.longest))
end

local function room(entry)
  local ask = entry.ask
  if ask.need == 0 and ahead(entry) > const.ahead then return 0 end
  local most = ask.most
  if entry.paced then most = min(most, floor(entry.credit) + entry.burst) end
  return max(ask.need, min(most, floor(ask.amount - entry.total)))
end

local function lent(entries)
  local delay, any = 0, false
  for _, entry in ipairs(entries) do
    entry.amount = room(entry)
    if entry.amount ~= 0 then
      any, delay = true, max(delay, ahead(entry))
    end
  end
  if not any then return { wait = const.again } end
  for _, entry in ipairs(entries) do
    entry.stamp = entry.amount ~= 0 and count(entry, entry.amount, delay) or 0
  end
  return { wait = 0, delay = delay, entries = entries }
end

local function span(entry)
  if not entry.paced then return 1 end
  return ceil(max(1, entry.ask.need, min(entry.ask.most, entry.burst)) / entry.rate)
end

-- Who waits for room: member, until when, how long what it wants takes; three texts for each.
local function lined(place_of)
  local kept, before, ahead = {}, 0, true
  for who, till, long in string.gmatch(redis.call('HGET', key, 'line') or '', '(%S+) (%S+) (%S+)') do
    till = tonumber(till)
    local waits = clock < till and till <= clock + const.longest + const.grace
    if waits and who == place_of then
      ahead = false
      kept.mine = #kept + 1
      kept[kept.mine] = false
    elseif waits then
      if ahead then before = before + tonumber(long) end
      kept[#kept + 1] = who .. ' ' .. text(till) .. ' ' .. long
    end
  end
  return kept, before
end

local function stand(kept, entries, wait)
  local mine = kept.mine or #kept + 1
  kept[mine] = false
  if wait > 0 then
    local long = 0
    for _, entry in ipairs(entries) do long = max(long, span(entry)) end
    kept[mine] = message.member .. ' ' .. text(clock + wait + const.grace) .. ' ' .. text(long)
  end
  local left = {}
  for index = 1, mine > #kept and mine or #kept do
    if kept[index] then left[#left + 1] = kept[index] end
  end
  redis.call('HSET', key, 'line', table.concat(left, ' '))
end

local function decided(entries, needy, wanting)
  local kept, before = lined(message.member)
  local wait = 0
  if wanting then
    for _, entry in ipairs(entries) do wait = max(wait, wait_of(entry)) end
    if before > 0 then wait = min(wait + floor((before + 1) / 2), const.longest) end
  end
  stand(kept, entries, needy and wait or 0)
  if not wanting then return { wait = 0 } end
  return wait > 0 and { wait = wait } or lent(entries)
end

local function lend(asks)
  local entries, needy, wanting, interval = {}, false, false, const.minute
  for index, ask in ipairs(asks) do
    entries[index] = opened(ask)
    needy, wanting = needy or ask.need > 0, wanting or ask.need > 0 or ask.most > 0
    interval = max(interval, ask.interval)
  end
  local lease = decided(entries, needy, wanting)
  local said = { text(lease.wait), text(lease.delay or 0) }
  for _, entry in ipairs(entries) do
    save(entry)
    if lease.entries then
      said[#said + 1] = text(entry.amount)
      said[#said + 1] = text(entry.stamp)
    end
  end
  redis.call('PEXPIRE', key, string.format('%.0f', 2 * interval / 1000))
  return said
end

local leases, quiet = {}, {}
for index, asks in ipairs(message.scopes) do
  key = KEYS[index]
  leases[index] = lend(asks)
end
key = KEYS[#KEYS]
for mark, left in pairs(message.quiet) do set(mark, max(get(mark), clock + left)) end
local marks, longest = redis.call('HGETALL', key), 0
for index = 1, #marks, 2 do
  local left = tonumber(marks[index + 1]) - clock
  if left > 0 then
    quiet[#quiet + 1], quiet[#quiet + 2] = marks[index], text(left)
    longest = max(longest, left)
  else
    redis.call('HDEL', key, marks[index])
  end
end
if longest > 0 then redis.call('PEXPIRE', key, string.format('%.0f', longest / 1000 + 1000)) end
return cjson.encode({ leases, quiet })
