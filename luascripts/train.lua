-- train: everything that waits for this shard in one call: read once, decide every row in order, write once.
-- KEYS: accounts, details, reservations, delivered, parts, outbox, filter; the hashes of key records are named here, by time slice
-- ARGV[1]: version u8, 0 u8, then sections: partition u16, epoch u32, rows u16, bytes u32, rows (journal.Row)
-- answers the id of the outbox entry u56 (0: nothing happened), then per section: status u8, epoch u32, base seq u56, time_ms u56,
--   then each row's outcome (reply.go); a section whose partition does not serve the caller has no outcomes
-- appends to the outbox, if anything happened: sections of partition u16, epoch u32, first seq u56, time_ms u56, events u16,
--   bytes u32, events × (row, status u8)

local sections, of_partition, of_epoch, first_row, last_row, state_of = 0, {}, {}, {}, {}, {}
local part_epoch, part_seq, part_ms, part_evicted, part_moved = {}, {}, {}, {}, {}

-- Redis takes a call's words from Lua's stack, which holds 8,000.
local function load(hash, fields)
  local n = #fields
  if n <= FIELDS_MAX then return n > 0 and call('HMGET', hash, spread(fields)) or {} end
  local values = {}
  for i = 1, n, FIELDS_MAX do
    local some = call('HMGET', hash, spread(fields, i, math.min(i + FIELDS_MAX - 1, n)))
    for j = 1, #some do values[i + j - 1] = some[j] end
  end
  return values
end

local function store(hash, words)
  local n = #words
  for i = 1, n, FIELDS_MAX do
    call('HSET', hash, spread(words, i, math.min(i + FIELDS_MAX - 1, n)))
  end
end

-- Read once: the partitions first, because rows of one that does not serve the caller are not looked at.
local here
if byte(arg) ~= TRAIN_VERSION then error('a train of another build') end

local starts, fields, p = {}, {'outbox', 'lease', 'window'}, 3
while p <= #arg do
  local name, e, rows, bytes = read('>c2I4HI4', arg, p)
  sections = sections + 1
  of_partition[sections], of_epoch[sections] = name, e
  first_row[sections], last_row[sections], starts[sections] = 1, rows, p + 12
  fields[sections + 3] = name
  p = p + 12 + bytes
end
local parts = load(KEYS[5], fields)

-- Only within its lease does a shard know that no other one serves its partitions (lease.go).
local time = call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = parts[2] and read('>I7', parts[2]) or 0
local window = parts[3]
local slice_ms, floor, sealed, filtered, live, behind = slices_of(window)

local n = 0
for s = 1, sections do
  local part, name = parts[s + 3], of_partition[s]
  state_of[s] = window and OK or UNINITIALISED
  if not part then state_of[s] = call('HEXISTS', KEYS[5], 'moving' .. name) == 1 and MOVING or UNINITIALISED end
  if part then
    part_epoch[name], part_seq[name], part_ms[name], part_evicted[name] = read('>I4I7I7I7', part)
    if part_epoch[name] ~= of_epoch[s] then state_of[s] = STALE_EPOCH end
    if clock >= lease and state_of[s] == OK then state_of[s] = LEASE_OVER end
  end
  if state_of[s] == OK then
    local first, last = n + 1, n + last_row[s]
    first_row[s], last_row[s], partition, spare = first, last, name, {}
    p = starts[s]
    for i = first, last do
      local high, low, o = byte(arg, p, p + 2)
      local need = needs[o]
      at[i], op[i] = p, o
      stop[i] = p + 256 * high + low - 1
      if need then need(i, p) end
      p = stop[i] + 1
    end
    n = last
  end
end
if n + legs > ACTS_MAX * 2 then error('a train of too many acts') end

local values = load(KEYS[3], res_id)
for r = 1, reservations do
  local v, payer = values[r], nil
  res_status[r] = false
  if v then
    res_status[r], payer, res_to[r], res_amount[r], remaining[r], captured[r], res_asset[r], created_ms[r], expires_ms[r],
      resolved_ms[r] = read('>Bc12c12I7I7I7HI7I7I7', v)
    res_payer[r] = account_named(payer)
    if res_status[r] ~= TRIED and resolved_ms[r] < part_evicted[res_part[r]] then res_status[r] = false end
  end
end

values = load(KEYS[1], handle)
for a = 1, accounts do
  local v = values[a]
  available[a] = false
  if v then
    available[a], reserved[a], flags[a], version[a], status_seq[a], asset_of[a], overdraft[a] = read('>i8I7BI6I6HI7', v)
  end
end

if next(details_named) then
  local owners, names = {}, {}
  for a in pairs(details_named) do owners[#owners + 1], names[#names + 1] = a, handle[a] end
  values = load(KEYS[2], names)
  for j = 1, #owners do details[owners[j]] = values[j] end
end

-- Keys: first in the slices that are not in the filter, which is mostly one; then, behind, only what the filter may know.
local function look_for(some, slices, from)
  for j = from, 1, -1 do
    local missing, ids = {}, {}
    for m = 1, #some do
      local k = some[m]
      if not record[k] then missing[#missing + 1], ids[#ids + 1] = k, id_of[k] end
    end
    if #ids == 0 then return end
    values = load('keys:' .. slices[j], ids)
    for m = 1, #ids do record[missing[m]] = values[m] end
  end
end

local found_behind = false
if #live > 0 then record = load('keys:' .. live[#live], id_of) end
if #live > 1 then
  local all = {}
  for k = 1, keys do all[k] = k end
  look_for(all, live, #live - 1)
end
if filtered then
  local asked, blocks, m = {}, {}, 0
  for k = 1, keys do
    if not record[k] then
      m = m + 1
      asked[m], blocks[m] = k, key_part[k] .. sub(id_of[k], 5, 6)
    end
  end
  values = load(KEYS[7], blocks)
  local maybe = {}
  for j = 1, m do
    local block, k = values[j], asked[j]
    if block and may_know(block, id_of[k]) then maybe[#maybe + 1] = k end
  end
  look_for(maybe, behind, #behind)
  for j = 1, #maybe do
    local k = maybe[j]
    if record[k] then found_behind = true else old[k] = true end
  end
end
for name, before in pairs(part_evicted) do
  if before > 0 and (found_behind or before > sealed * slice_ms) then forget(name, before) end
end

values = load(KEYS[4], channel_field)
for d = 1, channels do delivered[d] = values[d] and read('>I7', values[d]) or 0 end

-- Decide every row in order.
local left = 0 -- the outbox entry that is left
put('')
for s = 1, sections do
  partition = of_partition[s]
  epoch, seq, evicted = part_epoch[partition] or 0, part_seq[partition] or 0, part_evicted[partition] or 0
  now = math.max(clock, floor * slice_ms, part_ms[partition] or 0)
  put(pack('>BI4I7I7', state_of[s], epoch, seq, now))
  if state_of[s] == OK then
    local base = seq
    entries = entries + 1
    here, events, event_bytes = entries, 0, 0
    entry[here] = ''
    open_slice(math.floor(now / slice_ms))
    for i = first_row[s], last_row[s] do
      local act = acts[op[i]]
      if act then act(i) else answer(MALFORMED) end
    end
    if events > 0 then
      entry[here] = partition .. pack('>I4I7I7HI4', epoch, base + 1, now, events, event_bytes)
      part_seq[partition], part_ms[partition], part_evicted[partition], part_moved[partition] = seq, now, evicted, true
    end
  end
end

-- Write once, the outbox first: it is the only write that Redis could refuse, if somebody has lost the counter.
if next(part_moved) then
  left = (parts[1] and read('>I7', parts[1]) or 0) + 1
  call('XADD', KEYS[6], string.format('%.0f-0', left), 'e', concat(entry))
  local moves = {'outbox', pack('>I7', left)}
  local fresh = fresh_slices(live)
  if fresh then moves[3], moves[4] = 'window', with_slices(window, fresh) end
  for name in pairs(part_moved) do
    moves[#moves + 1], moves[#moves + 2] = name,
      pack('>I4I7I7I7', part_epoch[name], part_seq[name], part_ms[name], part_evicted[name])
  end
  store(KEYS[5], moves)
end

local words, w = {}, 0
for c = 1, changes do
  local a = changed[c]
  words[w + 1], words[w + 2] = handle[a],
    pack('>i8I7BI6I6HI7', available[a], reserved[a], flags[a], version[a], status_seq[a], asset_of[a], overdraft[a])
  w = w + 2
end
store(KEYS[1], words)
for slice, written in pairs(slice_writes) do store('keys:' .. slice, written) end

if res_changes > 0 then
  words = {}
  for c = 1, res_changes do
    local r = res_changed[c]
    words[2 * c - 1], words[2 * c] = res_id[r], pack_reservation(r)
  end
  store(KEYS[3], words)
end

words = {}
for a in pairs(details_changed) do words[#words + 1], words[#words + 2] = handle[a], details[a] end
store(KEYS[2], words)

words = {}
for d in pairs(channel_moved) do words[#words + 1], words[#words + 2] = channel_field[d], pack('>I7', delivered[d]) end
store(KEYS[4], words)

out[1] = pack('>I7', left)
return concat(out)
