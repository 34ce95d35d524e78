-- acts: everything that waits for this shard, in one call: read once, decide every row in order, write once.
-- KEYS: accounts, records, delivered, outbox
-- ARGV[1]: rows of 36 bytes: op u8, id 16, account 12, amount u56. A deliver's id is: source u8, from u56, up to u56, 0; its legs
--   follow as rows, as many as up to - from.
-- answers a status a row. What happened goes to the outbox, as rows and statuses.

local byte, sub, read, pack, char = string.byte, string.sub, struct.unpack, struct.pack, string.char
local arg, ROW = ARGV[1], 36
local n = #arg / ROW
local OK, NO_FUNDS, NO_PAYEE, GAP, BUSY, WRONG, CANCELLED = 1, 2, 3, 4, 5, 6, 7
local TRIED, CONFIRMED, PREPARED, STARTED, REFUNDED = 10, 11, 12, 13, 14

-- An account and a record are numbers. Checks, deliveries and their legs need no record.
local needs_no_record = {[1] = true, [2] = true, [4] = true, [5] = true}
local op, account, record, amount = {}, {}, {}, {}
local names, name_of, ids, id_of = {}, {}, {}, {}
for i = 1, n do
  local o, id, name, sum = read('>Bc16c12I7', arg, (i - 1) * ROW + 1)
  op[i], amount[i] = o, sum
  if o ~= 4 then
    local a = name_of[name]
    if not a then a = #names + 1; names[a], name_of[name] = name, a end
    account[i] = a
  end
  if not needs_no_record[o] then
    local r = id_of[id]
    if not r then r = #ids + 1; ids[r], id_of[id] = id, r end
    record[i] = r
  end
end

local available, reserved, locked, state, home, sum_of = {}, {}, {}, {}, {}, {}
if #names > 0 then
  local values = redis.call('HMGET', KEYS[1], unpack(names))
  for a = 1, #names do
    available[a] = false
    if values[a] then available[a], reserved[a], locked[a] = read('>i8I7B', values[a]) end
  end
end
if #ids > 0 then
  local values = redis.call('HMGET', KEYS[2], unpack(ids))
  for r = 1, #ids do
    state[r] = false
    if values[r] then state[r], home[r], sum_of[r] = read('>Bc12I7', values[r]) end
  end
end

local changed, moved, kept, written = {}, {}, {}, {}
local function move(i, by, aside)
  local a = account[i]
  available[a], reserved[a] = available[a] + by, reserved[a] + aside
  if not moved[a] then moved[a] = true; changed[#changed + 1] = a end
end
local function lock(i, to) locked[account[i]] = to; move(i, 0, 0) end
local function keep(i, s)
  local r = record[i]
  state[r] = s
  home[r], sum_of[r] = names[account[i]], amount[i]
  if not kept[r] then kept[r] = true; written[#written + 1] = r end
end

-- What a first act answers when its record is there already; nil when it is not.
local function seen(i)
  local s = state[record[i]]
  if not s then return nil end
  if s == NO_FUNDS or s == NO_PAYEE or s == CANCELLED then return s end
  return OK
end
local function poor(i) local has = available[account[i]] return not has or has < amount[i] end
local function nobody(i) return not available[account[i]] end

-- Money leaves, or is put aside, and the record says how far the transfer is here; a refusal is recorded, too.
local function first(refuses, why, s, apply)
  return function(i)
    local before = seen(i)
    if before then return before end
    if refuses(i) then keep(i, why) return why, true end
    if s == PREPARED and locked[account[i]] ~= 0 then return BUSY end
    apply(i)
    keep(i, s)
    return OK, true
  end
end
-- A later act: from one state of the record to another, once.
local function later(from, to, apply)
  return function(i)
    local s = state[record[i]]
    if s == to then return OK end
    if s ~= from then return WRONG end
    apply(i)
    keep(i, to)
    return OK, true
  end
end
-- An undoing: of what was done, or a record that refuses it for ever.
local function undo(from, to, apply)
  local act = later(from, to, apply)
  return function(i)
    local s = state[record[i]]
    if s == NO_FUNDS or s == NO_PAYEE then return OK end
    if not s then keep(i, to) return OK, true end
    return act(i)
  end
end

local nothing = function() end
local take = function(i) move(i, -amount[i], 0) end
local give = function(i) move(i, amount[i], 0) end
local set_lock = function(i) lock(i, 1) end
local legs_go, delivered, deliveries = false, {}, {}

local acts = {
  function(i) available[account[i]], reserved[account[i]], locked[account[i]] = 0, 0, 0 give(i) return OK end,       -- open
  function(i) if nobody(i) then return NO_PAYEE end return OK end,                                                   -- check
  first(poor, NO_FUNDS, CONFIRMED, take),                                                                           -- pay
  function(i)                                                                                                       -- deliver
    local source, from, up_to = read('>BI7I7', arg, (i - 1) * ROW + 2)
    local at = delivered[source] or tonumber(redis.call('HGET', KEYS[3], source) or 0)
    legs_go = at == from
    if not legs_go then return GAP end
    delivered[source] = up_to
    deliveries[#deliveries + 1] = source
    return OK, true
  end,
  function(i) if not legs_go then return GAP end give(i) return OK, true end,                                       -- a leg
  first(poor, NO_FUNDS, TRIED, function(i) move(i, -amount[i], amount[i]) end),                                     -- try payer
  first(nobody, NO_PAYEE, TRIED, nothing),                                                                          -- try payee
  later(TRIED, CONFIRMED, function(i) move(i, 0, -amount[i]) end),                                                  -- confirm payer
  later(TRIED, CONFIRMED, give),                                                                                    -- confirm payee
  undo(TRIED, CANCELLED, function(i) move(i, amount[i], -amount[i]) end),                                           -- cancel payer
  undo(TRIED, CANCELLED, nothing),                                                                                  -- cancel payee
  first(poor, NO_FUNDS, PREPARED, set_lock),                                                                        -- prepare payer
  first(nobody, NO_PAYEE, PREPARED, set_lock),                                                                      -- prepare payee
  later(PREPARED, CONFIRMED, function(i) take(i) lock(i, 0) end),                                                   -- commit payer
  later(PREPARED, CONFIRMED, function(i) give(i) lock(i, 0) end),                                                   -- commit payee
  undo(PREPARED, CANCELLED, function(i) lock(i, 0) end),                                                            -- abort
  first(poor, NO_FUNDS, STARTED, take),                                                                             -- debit
  first(nobody, NO_PAYEE, CONFIRMED, give),                                                                         -- credit
  later(STARTED, CONFIRMED, nothing),                                                                               -- end
  later(STARTED, REFUNDED, give),                                                                                   -- refund
  first(function() return true end, NO_PAYEE, CONFIRMED, nothing),                                                  -- refuse
}

local answers, happened, h = {}, {}, 0
for i = 1, n do
  local status, did = acts[op[i]](i)
  answers[i] = char(status)
  if did then
    happened[h + 1], happened[h + 2] = sub(arg, (i - 1) * ROW + 1, i * ROW), answers[i]
    h = h + 2
  end
end

local words = {}
for c = 1, #changed do
  local a = changed[c]
  words[2 * c - 1], words[2 * c] = names[a], pack('>i8I7B', available[a], reserved[a], locked[a])
end
if #words > 0 then redis.call('HSET', KEYS[1], unpack(words)) end
words = {}
for w = 1, #written do
  local r = written[w]
  words[2 * w - 1], words[2 * w] = ids[r], pack('>Bc12I7', state[r], home[r], sum_of[r])
end
if #words > 0 then redis.call('HSET', KEYS[2], unpack(words)) end
for d = 1, #deliveries do redis.call('HSET', KEYS[3], deliveries[d], string.format('%.0f', delivered[deliveries[d]])) end
if h > 0 then redis.call('XADD', KEYS[4], 'MAXLEN', '~', 64, '*', 'e', table.concat(happened)) end
return table.concat(answers)
